"""A model whose weights are shuffled, and put back."""

from __future__ import annotations

import contextlib

import pytest
import torch

from vitrail.errors import ModelError
from vitrail.lmm.shuffling import shuffled


def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(7, 5), torch.nn.LayerNorm(5), torch.nn.Linear(5, 3).half())


def test_weights_are_dealt_to_other_places_and_put_back_bit_by_bit():
    one = model()
    before = {name: weight.clone() for name, weight in one.named_parameters()}
    with contextlib.suppress(KeyError), shuffled(one, seed=1):
        inside = {name: weight.clone() for name, weight in one.named_parameters()}
        raise KeyError
    for name, weight in one.named_parameters():
        assert torch.equal(weight, before[name])
        assert torch.equal(inside[name].flatten().sort()[0], weight.flatten().sort()[0])
    assert not torch.equal(inside["0.weight"], before["0.weight"])


def test_other_seeds_deal_otherwise():
    one, found = model(), []
    for seed in (1, 1, 2):
        with shuffled(one, seed):
            found.append(one[0].weight.clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_weights_that_are_elsewhere_are_refused():
    with pytest.raises(ModelError, match="off-loaded"), shuffled(torch.nn.Linear(2, 2, device="meta")):
        pass
