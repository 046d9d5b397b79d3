"""How narrow an effect is."""

from __future__ import annotations

import pytest
import torch

from vitrail.steering import (
    TASKS,
    Add,
)
from vitrail.trials import (
    rank_by_narrowness,
)
from vitrail.trials.narrowness import Narrowness, narrowness_of

YES_NO = TASKS["yes-no"]


def test_a_narrow_change_changes_one_thing(lmm, asked, vector):
    one = narrowness_of(["black", "black", "red"], ["white", "white", "red"])
    assert (one.share, one.changes, one.most) == (1.0, 2, "white → black")
    assert narrowness_of(["black", "blue"], ["white", "red"]).share == 0.5
    assert narrowness_of(["a"], ["a"]) == Narrowness(0.0, 0.0, 0, "")
    caption = narrowness_of(["a big red dog"], ["a small red dog"])
    assert (caption.share, caption.changes) == (0.5, 2)
    # the Wilson interval of 1 in 1 and of 20 in 20, by its formula n / (n + z²)
    assert narrowness_of(["b"], ["a"]).low == pytest.approx(1 / (1 + 1.95996**2), abs=1e-4)
    assert narrowness_of(["b"] * 20, ["a"] * 20).low == pytest.approx(20 / (20 + 1.95996**2), abs=1e-4)


def test_what_changes_one_thing_often_is_ranked_before_what_changes_much_or_nothing(lmm, asked):
    black, white = (
        lmm.model.get_output_embeddings().weight[lmm.tokenizer.encode(f" {w}")[-1]].detach().float()
        for w in ("black", "white")
    )
    some = [s for s in asked if "white" in s.answers][:6] + asked[:10]
    noise = torch.randn(lmm.n_features, generator=torch.Generator().manual_seed(0))
    still = Add({-1: torch.zeros(lmm.n_features)})
    wild, fine = (Add({-1: a * v / v.norm()}, positions="last") for a, v in ((400.0, noise), (25.0, black - white)))
    ranked = rank_by_narrowness(lmm, some, [still, wild, fine], max_new_tokens=2)
    assert [r.place for r in ranked][-1] == 0
    assert ranked[-1].narrowness.changes == 0
    lows = [r.narrowness.low for r in ranked]
    assert lows == sorted(lows, reverse=True)
