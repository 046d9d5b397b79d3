"""L2S: what its network learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vitrail.errors import UsageError
from vitrail.samples.examples import Example
from vitrail.steering import (
    TASKS,
    Contrast,
    ExampleSet,
    SteeringOptions,
    example_states,
    learn_from_pairs,
    make_steering,
)
from vitrail.steering.contrast import described
from vitrail.steering.methods import l2s
from vitrail.steering.methods.l2s import NetworkOptions, TwoLayer, _targets
from vitrail.steering.states import States

YES_NO = TASKS["yes-no"]


def test_what_is_to_stay_is_taught_to_be_left_alone(lmm, asked, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        l2s, "fit_two_layer", lambda c, goal, *_, **__: seen.append((c, goal)) or TwoLayer(c.shape[1], 2)
    )
    away, stay = YES_NO.away(asked)[:5], YES_NO.stay(asked)[:4]
    contrast = Contrast(ExampleSet(YES_NO.toward(asked)), ExampleSet(away), "last", stay)
    learn_from_pairs(lmm, contrast, out=tmp_path / "l", network=NetworkOptions(hidden=2))
    ((contexts, goal),) = seen
    assert goal[:5].any(dim=1).all()
    assert not goal[5:].any()
    last = example_states(lmm, away + stay, [-1], positions="last").by_layer[lmm.n_blocks]
    torch.testing.assert_close(contexts, last, rtol=1e-3, atol=1e-3)


def test_l2s_learns_which_inputs_to_change(lmm, asked, tmp_path):
    stay = YES_NO.stay(asked)[:30]
    contrast = replace(YES_NO.contrast(asked), stay=stay)
    made = learn_from_pairs(lmm, contrast, out=tmp_path / "l", network=NetworkOptions(hidden=20))
    inner = made.functions()[lmm.n_blocks]
    contexts = [
        example_states(lmm, examples, [-1], positions="last").by_layer[lmm.n_blocks]
        for examples in (YES_NO.away(asked), stay)
    ]
    moved, kept = (inner(c).norm(dim=1).mean() for c in contexts)
    assert moved > 3 * kept


def test_pairs_go_by_the_sample_and_the_rest_by_the_mean(asked):
    a, b, c = asked[:3]
    toward, away = [Example(a, "no"), Example(b, "no")], [Example(b, "yes"), Example(c, "yes"), Example(a, "yes")]
    Z, Y = torch.tensor([[1.0, 0.0], [0.0, 4.0]]), torch.tensor([[0.0, 1.0], [0.0, 2.0], [5.0, 5.0]])
    to, off = States({7: Z}, {7: 1.0}, (0, 1)), States({7: Y}, {7: 1.0}, (0, 1, 2))
    expected = torch.tensor([[0.0, 4.0], [0.5, 2.0], [1.0, 0.0]]) - Y  # b's pair, no pair: the mean, a's pair
    torch.testing.assert_close(_targets(Contrast(ExampleSet(toward), ExampleSet(away)), to, off, 7), expected)


def test_l2s_is_told_which_answers_are_to_stay(lmm, asked, tmp_path):
    made = make_steering(lmm, YES_NO, asked[:40], out=tmp_path / "l", method="l2s")
    stay = YES_NO.stay(asked[:40])
    assert made.parameters["stay"] == described(stay)
    assert len(stay) > 10


def test_l2s_can_learn_from_what_a_prompt_does(lmm, samples, tmp_path):
    colour = TASKS["colour"]
    made = make_steering(
        lmm, colour, samples[:60], SteeringOptions(layers=(6,), targets="prompts"), out=tmp_path / "p", method="l2s"
    )
    plain, asked = (
        example_states(
            lmm, [Example(colour.asked(s) if ask else s, s.references[0]) for s in samples[:60]], [6], positions="last"
        ).by_layer[6]
        for ask in (False, True)
    )
    goal = asked - plain
    found = made.functions()[6](plain)
    assert torch.cosine_similarity(found, goal).mean() > 0.9
    assert (found - goal).norm() < 0.5 * goal.norm()
    with pytest.raises(UsageError, match="'texts'"):
        make_steering(lmm, colour, samples[:4], SteeringOptions(targets="texts"), out=tmp_path / "q", method="l2s")
