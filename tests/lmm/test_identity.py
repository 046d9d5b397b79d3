"""Whatever decides a state is part of what a model is known by, and is named where it differs."""

from __future__ import annotations

import copy
import dataclasses
import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from tests.resealing import reseal

from vitrail.errors import ArtifactError, ModelError
from vitrail.extraction import extract
from vitrail.lmm import ModelDescription, fingerprint, load
from vitrail.lmm.adapters import OLD_NAME
from vitrail.lmm.identity import fingerprint_of_ends
from vitrail.toyland import adapter_path, model_path


@pytest.fixture
def mine():
    """A model that the test may change."""
    return load("toyland", device="cpu")


# ---- weights ---------------------------------------------------------------------------------------------------------


def test_one_value_of_any_weight_changes_the_fingerprint(mine):
    before = fingerprint(mine.model)
    weights = dict(mine.model.named_parameters())
    for name in [*weights][:: len(weights) // 12]:
        values = weights[name].data.view(-1)
        place = len(values) // 2
        was = values[place].clone()
        values[place] += 1
        assert fingerprint(mine.model) != before, name
        values[place] = was
    assert fingerprint(mine.model) == before


def test_matrices_whose_ends_are_the_same_are_told_apart(mine):
    """Version 0.1.0 looked at 64 values at each end of a matrix."""
    ends, whole = fingerprint_of_ends(mine.model), fingerprint(mine.model)
    for block in mine.parts.blocks:
        for matrix in (block.mlp.gate_proj, block.mlp.up_proj, block.mlp.down_proj):
            matrix.weight.data.view(-1)[64:-64].neg_()
    assert fingerprint_of_ends(mine.model) == ends
    assert fingerprint(mine.model) != whole


def test_names_shapes_and_kept_buffers_count():
    def module(values, *, name="a", kept=True):
        made = torch.nn.Module()
        made.register_buffer(name, torch.tensor(values), persistent=kept)
        return fingerprint(made)

    assert len({module([1.0, 2.0]), module([2.0, 1.0]), module([[1.0, 2.0]]), module([1.0, 2.0], name="b")}) == 4
    assert module([1.0], kept=False) == module([2.0], kept=False)  # such as a cache of positions


def test_tied_weights_and_the_place_of_a_tensor_do_not_matter(mine):
    before = fingerprint(mine.model)
    for parameter in mine.model.parameters():
        parameter.data = parameter.data.clone()
    assert fingerprint(mine.model) == before == load("toyland", device="cpu").describe().fingerprint


# ---- everything else -------------------------------------------------------------------------------------------------


def of_template(lmm):
    lmm.processor.chat_template = lmm.processor.chat_template.replace("<assistant>", "<assistant> well")


def image_setting(name: str, value: object):
    return lambda lmm: setattr(lmm.processor.image_processor, name, value)


CHANGES = {
    "the chat template": (of_template, "template"),
    "the mean of images": (image_setting("image_mean", [0.5] * 3), "images.*image_mean"),
    "the cropping of images": (image_setting("do_center_crop", False), "images.*do_center_crop"),
    "the tokenizer": (lambda m: m.tokenizer.add_tokens(["zebra crossing"]), "tokenizer"),
    "generation": (lambda m: setattr(m.model.generation_config, "min_new_tokens", 9), "generation.*min_new_tokens"),
    "the configuration": (lambda m: setattr(m.model.config.text_config, "rms_norm_eps", 0.1), "config"),
    "the weights": (lambda m: m.parts.norm.weight.data.neg_(), "fingerprint"),
}


@pytest.mark.parametrize(("change", "named"), CHANGES.values(), ids=CHANGES)
def test_what_decides_a_state_is_named_where_it_differs(mine, change, named):
    before = mine.describe()
    assert mine.differences(before) == []
    change(mine)
    (said,) = [d for d in mine.differences(before) if not d.startswith("config") or named == "config"]
    assert re.match(rf"{named}\S* is .* there and .* here", said)


def test_the_models_own_generation_is_asked_for_and_recorded(mine):
    own = mine.with_own_generation()
    assert mine.describe().generation["greedy"]
    assert not own.describe().generation["greedy"]
    assert "generation.greedy is true there and false here" in own.differences(mine.describe())


def test_a_run_with_another_template_does_not_go_on_in_the_same_folder(mine, dogs, tmp_path):
    options = {"layers": [1], "require": "truth", "out": tmp_path / "a"}
    extract(mine, dogs[:2], "dog", **options)
    of_template(mine)
    with pytest.raises(ArtifactError, match=r"belongs to another run: model\.template is .* there and .* here"):
        extract(mine, dogs[:2], "dog", **options)


def test_which_adapters_act_is_part_of_the_model(mine, dogs, tmp_path):
    """With two adapters loaded, the one that was switched on last would else have given the states of the first."""
    peft = pytest.importorskip("peft")
    warnings.filterwarnings("ignore", OLD_NAME)
    wrapped = peft.PeftModel.from_pretrained(mine.model, adapter_path("place"), adapter_name="place")
    wrapped.load_adapter(adapter_path("colour"), adapter_name="colour")
    both = mine.with_model(wrapped)
    described = {}
    for name in ("place", "colour"):
        wrapped.set_adapter(name)
        described[name] = both.describe()
        assert list(described[name].active) == [name]
    with wrapped.disable_adapter():
        described["none"] = both.describe()
    assert described["none"].active == {}
    said = described["place"].differences(described["colour"])
    assert all(d.startswith("active.") for d in said)
    assert said
    wrapped.set_adapter("place")
    options = {"layers": [1], "require": "truth", "out": tmp_path / "a"}
    extract(both, dogs[:2], "dog", **options)
    with wrapped.disable_adapter(), pytest.raises(ArtifactError, match=r"belongs to another run: model\.active"):
        extract(both, dogs[:2], "dog", **options)
    wrapped.set_adapter("colour")
    with pytest.raises(ArtifactError, match=r"belongs to another run: model\.active"):
        extract(both, dogs[:2], "dog", **options)


# ---- what was written before -----------------------------------------------------------------------------------------


def test_what_version_0_1_0_wrote_of_a_model_is_compared_by_what_it_knew(mine):
    old = mine.describe().as_older(fingerprint_of_ends(mine.model))
    again = ModelDescription.from_dict(json.loads(json.dumps(old.as_dict())))
    assert again == old
    assert set(again.as_dict()) & {"template", "images", "generation", "config"} == set()
    assert mine.differences(again) == []
    mine.parts.norm.weight.data.neg_()
    assert [d.split()[0] for d in mine.differences(again)] == ["fingerprint"]


# ---- adapters on disk ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json", "manifest.json"])
def test_an_adapter_is_checked_against_its_manifest_when_it_is_loaded(tmp_path, file):
    pytest.importorskip("peft")
    folder = shutil.copytree(adapter_path("place"), tmp_path / "a")
    load("toyland", adapter=folder, device="cpu")
    reseal(folder)  # with a digest, as adapters have them now
    path: Path = folder / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match=rf"{file} is damaged"):
        load("toyland", adapter=folder, device="cpu")


def test_a_description_can_be_copied_and_compared(mine):
    described = mine.describe()
    assert described == copy.deepcopy(described) == dataclasses.replace(described)
    assert model_path().exists()
