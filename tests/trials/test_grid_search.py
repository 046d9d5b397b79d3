"""The search over layers and strengths."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from vitrail.errors import UsageError
from vitrail.scores import Estimate
from vitrail.steering import (
    TASKS,
    Add,
    steer,
)
from vitrail.trials import (
    CaptionSideEffects,
    Judge,
    Outcome,
    SearchOptions,
    TextFigures,
    TextLoss,
    Trial,
    say,
    search,
)
from vitrail.trials.grid_search import candidates, halves, open_search, pareto_front, pick
from vitrail.trials.texts import surprise

YES_NO = TASKS["yes-no"]


def trial(alpha: float, effect: float, cost: float, broken: bool = False) -> Trial:
    """A trial with this effect and this cost; its side effects do not matter."""
    some = Estimate(effect, float("nan"), float("nan"), float("nan"), 1)
    figures = TextFigures(None, 6.0, 0.0, 0.5, some)
    loss = TextLoss(figures, figures, 0.0, ("perplexity",) if broken else ())
    return Trial(1, alpha, Outcome(some, 1.0, cost, loss, CaptionSideEffects(None, some, 1.0, 0.0)))


def test_a_search_chooses_on_one_half_and_reports_on_the_other(lmm, asked, vector, tmp_path):
    some = asked[:60]
    first, second = halves(some)
    assert not {s.name for s in first} & {s.name for s in second}
    made = {-1: lambda alpha: Add({-1: vector.directions[lmm.n_blocks]}, alpha, positions="last")}
    found = search(lmm, YES_NO, some, made, SearchOptions((0.0, 2.0), 0.2), out=tmp_path / "s")
    assert [p.alpha for p in found.trials] == [0.0, 2.0]
    for half, outcome in ((first, found.unsteered), (second, found.plain)):
        said = say(lmm, half, max_new_tokens=YES_NO.max_new_tokens)
        alone = Judge(YES_NO, half, said).judge(said)
        assert (outcome.effect, outcome.side.accuracy) == (alone.effect, alone.side.accuracy)
        losses = surprise(lmm, half, said)
        assert outcome.loss.steered.perplexity == pytest.approx(float(np.exp(losses.mean())), rel=1e-4)
    with steer(lmm, made[-1](2.0)):
        steered = say(lmm, first, max_new_tokens=YES_NO.max_new_tokens)
    losses = surprise(lmm, first, steered)  # of what was said under steering, to the model as it is
    assert found.trials[1].outcome.loss.steered.perplexity == pytest.approx(float(np.exp(losses.mean())), rel=1e-4)
    assert found.trials[0].outcome.effect.mean == 0.0
    assert found.plain.effect.mean == 0.0
    if found.picked is not None:
        assert found.picked.outcome.cost <= 0.2
        assert found.held_out is not None
    assert json.loads((tmp_path / "s" / "search.json").read_text())["task"] == "yes-no"
    assert open_search(tmp_path / "s").as_dict() == found.as_dict()
    none = search(lmm, YES_NO, some, made, SearchOptions((50.0,), 1.0))  # every answer becomes "no"
    assert none.trials[0].outcome.loss.broken
    assert none.picked is None
    assert none.held_out is None


def test_the_strongest_within_the_budget_is_picked():
    trials = [trial(a, e, c) for a, e, c in [(0, 0.1, 0.0), (1, 0.5, 0.10), (2, 0.5, 0.05), (3, 0.9, 0.3)]]
    assert [pick(trials, budget).alpha for budget in (0.0, 0.1, 0.5)] == [0, 2, 3]
    assert pick(trials, -0.1) is None


def test_broken_texts_are_never_picked():
    trials = [trial(1, 0.5, 0.0), trial(2, 0.9, 0.0, broken=True)]
    assert pick(trials, 1.0).alpha == 1
    assert pick(trials[1:], 1.0) is None


@pytest.mark.parametrize(
    ("tried", "options", "what"),
    [
        ((8, -1), {}, "Layer 8 of toyland is named twice, as 8 and as -1"),
        ((), {}, "needs layers and strengths"),
        ((8,), {"alphas": ()}, "needs layers and strengths"),
        ((8,), {"alphas": (1.0, float("nan"))}, "got nan"),
        ((8,), {"alphas": (1e300,)}, "got 1e\\+300"),
        ((8,), {"budget": float("nan")}, "budget must be a number; got nan"),
    ],
)
def test_a_search_that_cannot_be_is_refused_before_anything_is_said(lmm, asked, monkeypatch, tried, options, what):
    monkeypatch.setattr("vitrail.lmm.LMM.generate", None)
    steps = {layer: lambda alpha: Add({8: torch.ones(lmm.n_features)}, alpha) for layer in tried}
    with pytest.raises(UsageError, match=what):
        search(lmm, YES_NO, asked, steps, SearchOptions(**options))


def test_a_search_tries_every_layer_by_itself_at_the_positions_it_is_told(vector):
    tried = candidates(vector, "last")
    assert [*tried] == [6, 8]
    for layer, at_strength in tried.items():
        one = at_strength(2.0)
        assert (one.layers, one.alpha, one.positions) == ((layer,), 2.0, "last")
    assert candidates(vector)[6](1.0).positions == vector.applied_at


def test_the_front_has_what_no_other_point_beats():
    trials = [trial(a, e, c) for a, e, c in [(0, 0.1, 0.0), (1, 0.5, 0.1), (2, 0.4, 0.2), (3, 0.9, 0.3)]]
    assert pareto_front(trials) == (0, 1, 3)
