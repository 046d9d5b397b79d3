"""A model is like itself in every precision and unlike others: an adapter goes on its base, however that is held."""

from __future__ import annotations

import copy
import importlib.util
import json
import shutil

import pytest
import torch

from vitrail import toyland
from vitrail.errors import ModelError
from vitrail.lmm import load
from vitrail.lmm.likeness import likeness, unlike

QUANTISED = [
    pytest.param(dtype, marks=pytest.mark.skipif(not importlib.util.find_spec("bitsandbytes"), reason="bitsandbytes"))
    for dtype in ("int8", "int4")
]
PRECISIONS = ["float16", "bfloat16", *QUANTISED]


@pytest.fixture(scope="module")
def expected(lmm):
    return likeness(lmm.model)


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.filterwarnings("ignore")  # of bitsandbytes on a CPU
def test_a_model_is_like_itself_in_every_precision(expected, dtype):
    assert unlike(likeness(load("toyland", dtype=dtype, device="cpu").model), expected) == []


def test_every_layer_that_is_another_one_is_named(lmm, expected):
    changed = copy.deepcopy(lmm.model)
    ends = ("layers.3.mlp.up_proj", "layers.5.self_attn.q_proj")
    negated, mixed = sorted(name for name in expected if name.endswith(ends) and "language" in name)
    weight = changed.get_submodule(mixed).weight
    order = torch.randperm(weight.numel(), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        changed.get_submodule(negated).weight.neg_()
        weight.copy_(weight.flatten()[order].view_as(weight))
    assert sorted(unlike(likeness(changed), expected)) == [negated, mixed]


def test_biases_and_small_changes_are_not_looked_at(lmm, expected):
    changed = copy.deepcopy(lmm.model)
    with torch.no_grad():
        for module in changed.modules():
            if isinstance(module, torch.nn.Linear):
                module.weight *= 1.001
                if module.bias is not None:
                    module.bias += 1
    assert unlike(likeness(changed), expected) == []


def test_a_layer_that_is_missing_is_unlike(expected):
    name = next(iter(expected))
    assert unlike({k: v for k, v in expected.items() if k != name}, expected) == [name]


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Toyland's model with other weights in its blocks, in a folder."""
    folder = tmp_path_factory.mktemp("other")
    shutil.copytree(toyland.model_path(), folder, dirs_exist_ok=True)
    changed = load("toyland", device="cpu")
    with torch.no_grad():
        for block in changed.parts.blocks:
            block.mlp.down_proj.weight.neg_()
    changed.model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("dtype", ["float32", *PRECISIONS])
@pytest.mark.filterwarnings("ignore")
def test_an_adapter_goes_on_its_own_base_in_every_precision_and_on_no_other(other, dtype):
    assert load("toyland", adapter="toyland:place", dtype=dtype, device="cpu").adapter == "toyland:place"
    with pytest.raises(ModelError, match=r"toyland:place was made on toyland \(fingerprint \w+\), not on the model"):
        load(other, adapter="toyland:place", dtype=dtype, device="cpu")


def test_the_bundled_adapters_know_what_their_base_does(expected):
    for name in ("place", "colour", "mood"):
        manifest = json.loads((toyland.adapter_path(name) / "manifest.json").read_text())
        assert unlike(manifest["base"], expected) == []
        assert manifest["base"].keys() == expected.keys()
