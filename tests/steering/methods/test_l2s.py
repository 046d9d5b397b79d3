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
from vitrail.steering.methods.l2s import Fit, TwoLayer, _targets, fit_two_layer
from vitrail.steering.states import States

YES_NO = TASKS["yes-no"]


def test_what_is_to_stay_is_taught_to_be_left_alone(lmm, asked, tmp_path, monkeypatch):
    seen = []
    fit = Fit(1, 0.0, None)
    monkeypatch.setattr(
        l2s, "fit_two_layer", lambda c, goal, *_, **__: seen.append((c, goal)) or (TwoLayer(c.shape[1], 2), fit)
    )
    away, stay = YES_NO.away(asked)[:5], YES_NO.stay(asked)[:4]
    contrast = Contrast(ExampleSet(YES_NO.toward(asked)), ExampleSet(away), "last", stay)
    learn_from_pairs(lmm, contrast, SteeringOptions(hidden=2), out=tmp_path / "l")
    ((contexts, goal),) = seen
    assert goal[:5].any(dim=1).all()
    assert not goal[5:].any()
    last = example_states(lmm, away + stay, [-1], positions="last").by_layer[lmm.n_blocks]
    torch.testing.assert_close(contexts, last, rtol=1e-3, atol=1e-3)


def test_l2s_learns_which_inputs_to_change(lmm, asked, tmp_path):
    stay = YES_NO.stay(asked)[:30]
    contrast = replace(YES_NO.contrast(asked), stay=stay)
    made = learn_from_pairs(lmm, contrast, SteeringOptions(hidden=20), out=tmp_path / "l")
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


def linear(n: int, noise: float, n_samples: int | None = None) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Contexts of eight features, targets that are a linear map of them and noise, and the samples they are of."""
    draw = torch.Generator().manual_seed(0)
    contexts, W = torch.randn(n, 8, generator=draw), torch.randn(8, 8, generator=draw)
    targets = contexts @ W + noise * torch.randn(n, 8, generator=draw)
    return contexts, targets, [str(i % (n_samples or n)) for i in range(n)]


def test_the_number_of_epochs_is_the_best_one_on_held_out_samples_and_the_network_has_seen_all(monkeypatch):
    contexts, targets, samples = linear(60, 6.0)  # mostly noise: what is learned late does not carry over
    g, fit = fit_two_layer(contexts, targets, samples, hidden=40, epochs=400)
    assert fit.epochs + l2s.PATIENCE < 400
    monkeypatch.setattr(l2s, "FEWEST", 1000)
    same, whole = fit_two_layer(contexts, targets, samples, hidden=40, epochs=fit.epochs)
    assert whole == Fit(fit.epochs, fit.learned, None)
    torch.testing.assert_close(g(contexts), same(contexts))


def test_how_well_a_network_fits_is_judged_on_samples_that_it_has_not_seen():
    contexts, targets, samples = linear(400, 0.5, n_samples=100)
    g, fit = fit_two_layer(contexts, targets, samples, hidden=40, epochs=100)
    spread = (targets - targets.mean(0)).square().sum()
    assert fit.learned == pytest.approx(1 - float((g(contexts) - targets).square().sum() / spread), abs=1e-4)
    folds = l2s._folds(samples, 0)
    assert torch.stack(folds).sum(0).eq(1).all()
    found = torch.zeros_like(targets)
    for out in folds:
        ids = [{s for s, held in zip(samples, out, strict=True) if held == part} for part in (True, False)]
        assert ids[0].isdisjoint(ids[1])
        alone, _ = fit_two_layer(contexts[~out], targets[~out], ["0"] * 320, hidden=40, epochs=fit.epochs)
        found[out] = alone(contexts[out])
    own = 1 - float((found - targets).square().sum() / spread)
    assert fit.held_out == pytest.approx(own, abs=0.02)  # targets are in other units there
    assert fit.held_out > 0.6


def test_with_few_samples_none_is_held_out_and_all_epochs_are_made():
    contexts, targets, samples = linear(8, 0.5)
    _, fit = fit_two_layer(contexts, targets, samples, hidden=4, epochs=7)
    assert fit == Fit(7, fit.learned, None)


def test_both_answers_are_forced_after_the_same_request(lmm, asked):
    forced, truth = YES_NO.forced(asked), YES_NO.opposites(asked)
    assert {e.answer for e in forced.toward.examples} == {"no"}
    assert {e.answer for e in forced.away.examples} == {"yes"}
    assert all(a.sample == b.sample for a, b in zip(forced.toward.examples, forced.away.examples, strict=True))
    pairs = [(a.answer, b.answer) for a, b in zip(truth.toward.examples, truth.away.examples, strict=True)]
    assert set(pairs) == {("yes", "no"), ("no", "yes")}
    assert all(e.answer == max(e.sample.answers, key=e.sample.answers.count) for e in truth.toward.examples)
    assert forced.read_at == truth.read_at == "said"


def test_targets_of_the_truth_are_means_over_the_tokens_of_both_answers(lmm, asked, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(l2s, "fit_two_layer", lambda *a, **k: seen.append(a) or fit_two_layer(*a, **k))
    options = SteeringOptions(layers=(6,), targets="truth", hidden=5, epochs=3, context=4)
    made = make_steering(lmm, YES_NO, asked[:40], options, out=tmp_path / "t", method="l2s")
    ((contexts, targets, samples),) = seen
    contrast = YES_NO.opposites(asked[:40])
    true, false = (
        example_states(lmm, of.examples, [6], positions="said").by_layer[6] for of in (contrast.toward, contrast.away)
    )
    torch.testing.assert_close(targets, true - false, rtol=1e-4, atol=1e-4)
    at_end = example_states(lmm, contrast.toward.examples, [4], positions="last").by_layer[4]
    torch.testing.assert_close(contexts, at_end, rtol=1e-4, atol=1e-4)
    assert samples == tuple(e.sample.id for e in contrast.toward.examples)
    assert made.functions()[6].into.shape == (5, lmm.n_features)
    assert (made.parameters["context"], made.parameters["epochs"]) == (4, 3)
    assert made.fit.epochs <= 3
    with pytest.raises(UsageError, match="no single opposite"):
        make_steering(lmm, TASKS["colours-numbers"], asked, options, out=tmp_path / "c", method="l2s")
    with pytest.raises(UsageError, match="a task of captions"):
        make_steering(lmm, TASKS["colour"], asked, options, out=tmp_path / "c", method="l2s")
