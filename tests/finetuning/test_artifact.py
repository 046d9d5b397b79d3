"""A fine-tune on disk, and adapters that do not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vitrail.errors import ArtifactError, ModelError, UsageError
from vitrail.finetuning import open_finetune
from vitrail.lmm import ModelDescription, load
from vitrail.samples.vocabulary import TOPICS

pytest.importorskip("peft")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_adapter_and_checkpoints_load_on_their_base(lmm, tuned, samples):
    images = [s.open() for s in samples[:2]]
    inputs = lmm.prepare(images, [lmm.prompt] * 2)
    last = [inputs["input_ids"].shape[1] - 1] * 2
    states = {}
    for name, adapter in {"before": None, "end": tuned.folder, **tuned.checkpoints}.items():
        model = load("toyland", adapter=adapter, device="cpu") if adapter else lmm
        states[name] = model.states(inputs, [[], []], last, [-1])[-1]
    assert sorted(tuned.checkpoints) == [2, 4]
    distinct = [states["before"], states[2], states[4]]
    assert all(not torch.allclose(x, y) for i, x in enumerate(distinct) for y in distinct[:i])


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")  # PEFT still uses it
def test_peft_alone_loads_the_adapter_and_gives_the_same_states(tuned, samples):
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText

    from vitrail.toyland import model_path

    ours = load("toyland", adapter=tuned.folder, device="cpu")
    theirs = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(model_path()), str(tuned.folder))
    inputs = ours.prepare([samples[0].open()], [ours.prompt])
    with torch.no_grad():
        logits = theirs.eval()(**inputs).logits[0, -1]
    mine = ours.states(inputs, [[]], [inputs["input_ids"].shape[1] - 1], ["final"])["final"]
    assert ours.logits(mine, "final")[0] == pytest.approx(logits.numpy(), abs=1e-3)


@pytest.mark.parametrize("name", ["colour", "place", "mood"])
def test_the_bundled_adapters_belong_to_the_bundled_model_and_speak_of_their_kind(lmm, trained, samples, name):
    from vitrail.toyland import adapter_path

    made = open_finetune(adapter_path(name))
    assert lmm.differences(ModelDescription.from_dict(made.parameters["model"])) == []
    assert sum(p.stat().st_size for p in adapter_path(name).iterdir()) < 500_000
    tuned = load("toyland", adapter=f"toyland:{name}", device="cpu")
    saying = {"colour": TOPICS["colour"], "place": TOPICS["place"], "mood": TOPICS["sentiment"]}[name]
    images = [s.open() for s in samples[:8]]
    before, after = (
        sum(bool(saying & set(text.split())) for text in model.caption(images, max_new_tokens=24))
        for model in (lmm, tuned)
    )
    assert after >= max(7, before)


def test_nothing_of_this_machine_is_in_the_adapter(tuned):
    config = json.loads((tuned.folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "toyland"
    assert not any(str(tuned.folder.parent).encode() in data for data in contents(tuned.folder).values())
    assert not list(tuned.folder.rglob("*.md"))
    assert (tuned.folder / "loss.svg").read_text().count("held out") == 1


def test_an_adapter_is_refused_on_other_weights_of_the_same_shape(lmm, tuned, tmp_path):
    other = tmp_path / "other"
    with torch.no_grad():
        weight = lmm.parts.blocks[0].mlp.down_proj.weight
        weight[0, 0] += 1
        lmm.model.save_pretrained(other)
        weight[0, 0] -= 1
    lmm.processor.save_pretrained(other)
    with pytest.raises(ModelError, match=r"was made on toyland \(fingerprint .*Load it on its own base"):
        load(other, adapter=tuned.folder, device="cpu")


def test_an_adapter_with_weights_missing_or_too_many_is_refused(tuned, tmp_path):
    from safetensors.torch import save_file

    for name, change in {"fewer": lambda t: dict(list(t.items())[2:]), "none": lambda t: {}}.items():
        folder = shutil.copytree(tuned.folder, tmp_path / name)
        save_file(change(load_file(folder / "adapter_model.safetensors")), folder / "adapter_model.safetensors")
        (folder / "manifest.json").unlink()  # one that somebody else made
        with pytest.raises(ModelError, match=r"is not an adapter for this model: .* are missing"):
            load("toyland", adapter=folder, device="cpu")


def test_a_folder_that_holds_no_adapter_and_a_name_that_toyland_lacks_are_refused(tmp_path):
    with pytest.raises(ModelError, match="is not an adapter: Can't find"):
        load("toyland", adapter=tmp_path, device="cpu")
    with pytest.raises(UsageError, match="Toyland has no adapter 'sound'"):
        load("toyland", adapter="toyland:sound", device="cpu")


def test_a_damaged_fine_tune_is_refused(tuned, tmp_path):
    copy = shutil.copytree(tuned.folder, tmp_path / "copy")
    (copy / "loss.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"loss\.json is damaged"):
        open_finetune(copy)
