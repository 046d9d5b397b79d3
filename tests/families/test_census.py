"""Every architecture of transformers is proven, refused by name, or said not to be built; kinds of blocks by name."""

from __future__ import annotations

import json
from typing import Any

import pytest

from families.census import FOUND, proven
from families.tiny import ARCHITECTURES

RESULTS: dict[str, Any] = json.loads(FOUND.read_text(encoding="utf-8"))["architectures"]


def test_every_architecture_has_its_entry():
    assert set(ARCHITECTURES) <= set(RESULTS)


@pytest.mark.parametrize("outcome", ["passes", "refused", "fails", "not built"])
def test_every_entry_says_what_came_of_it(outcome):
    those = {name: one for name, one in RESULTS.items() if one["outcome"] == outcome}
    if outcome == "passes":
        assert all(one["worst"] < 1e-3 and False not in one["checks"].values() for one in those.values())
    else:
        assert all(one["reason"] for one in those.values())


#: A kind of block → an architecture that has it, and what the census calls it.
KINDS = {
    "linear attention beside full attention": ("qwen3_5", "linear attention"),
    "mixtures of experts": ("qwen3_vl_moe", "experts"),
    "experts and linear attention": ("qwen3_5_moe", "experts"),
    "sliding windows": ("gemma4", "sliding attention"),
    "state spaces": ("nemotron_h_omni", "state space"),
    "chunked attention": ("llama4", "chunked attention"),
    "an encoder that reads the request": ("t5gemma2", "an encoder reads the request"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_of_block_is_proven(kind):
    name, called = KINDS[kind]
    assert RESULTS[name]["outcome"] == "passes"
    assert called in RESULTS[name]["blocks"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["qwen3_5", "pi0"])
def test_the_census_finds_again_what_stands_there(name):
    assert proven(name)["outcome"] == RESULTS[name]["outcome"]
