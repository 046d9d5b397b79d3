"""Recovery on planted moves: the concepts' own shifts, controls, and the curve over α."""

from __future__ import annotations

import numpy as np
import pytest

from vitrail.comparison.recovery import Counts, Moves, ShiftTrial, Target, alpha_curve, controls, recover


@pytest.fixture
def world():
    """Centroids that moved, each in its own direction, and words that are the five largest features.

    The trial, what states of *b* activate, and the most activating samples before.
    """
    rng = np.random.default_rng(10)
    U = 3 * rng.normal(size=(12, 40))
    moves = 3 * rng.normal(size=U.shape)
    owner = np.repeat(np.arange(12), 25)
    A = U[owner] + 0.5 * rng.normal(size=(300, 40))
    B = (U + moves)[owner] + 0.5 * rng.normal(size=(300, 40))

    def words_of(U: np.ndarray) -> list[list[str]]:
        return [[str(i) for i in np.argsort(-row)[:5]] for row in U]

    def activations_of(U: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.linalg.norm(B[:, None] - U[None], axis=2))

    def images_of(U: np.ndarray) -> list[list[int]]:
        return [np.argsort(-column, kind="stable")[:5].tolist() for column in activations_of(U).T]

    target = Target(np.arange(12), U + moves, words_of(U + moves), images_of(U + moves))
    V = np.eye(12)[owner]
    trial = ShiftTrial(U, Moves(B - A, V, V, np.zeros(40)), target, words_of, "mean")
    return trial, activations_of, images_of(U)


def test_shifts_recover_planted_moves_in_words_images_and_directions(world):
    found = recover(*world, resamples=50)
    assert found.words_before.mean() < 50
    assert found.words_after.mean() > 90
    assert found.counts.better >= 11
    assert found.images_after.mean() > found.images_before.mean()
    assert (found.cosine_gain > 0).all()
    assert (found.interval[:, 0] <= found.words_after).all()
    assert (found.words_after <= found.interval[:, 1]).all()


def test_a_summary_holds_the_means_over_the_concepts(world):
    found = recover(*world, resamples=0)
    summary = found.summary()
    assert summary.words_after.mean == pytest.approx(found.words_after.mean())
    assert summary.words_gain.mean == pytest.approx((found.words_after - found.words_before).mean())
    assert summary.images_before.mean == pytest.approx(found.images_before.mean())
    assert summary.cosine_gain.mean == pytest.approx(found.cosine_gain.mean())
    assert summary.counts == found.counts
    assert summary.p < 0.001


def test_no_shift_at_all_leaves_everything_as_before(world):
    found = recover(*world, alpha=0.0, resamples=0)
    assert (found.words_after == found.words_before).all()
    assert found.cosine_gain == pytest.approx(np.zeros(12))
    assert found.counts == Counts(better=0, equal=12, worse=0)


def test_controls_do_not_recover_what_the_own_shift_does(world):
    trial, *_ = world
    own = trial.t_overlaps(trial.shifts())
    found = controls(trial, own, draws=20)
    assert len(found) == 3
    for control in found:
        assert control.words_after.mean < own.mean() - 20
        assert np.nanmean(control.per_concept) == pytest.approx(control.words_after.mean)
        assert control.p < 0.01


def test_random_directions_are_as_long_as_the_shifts_that_they_control(world):
    trial, *_ = world
    moves = []

    def recording(U: np.ndarray) -> list[list[str]]:
        moves.append(np.linalg.norm(U - trial.U, axis=1))
        return trial.words_of(U)

    recorded = ShiftTrial(trial.U, trial.moves, trial.target, recording, "mean")
    controls(recorded, np.zeros(12), alpha=0.5, draws=3)
    own = 0.5 * np.linalg.norm(trial.shifts(), axis=1)
    *others, first, second, third, everyone = moves
    assert len(others) == 11
    for drawn in (first, second, third):
        assert drawn == pytest.approx(own)
    assert everyone == pytest.approx(np.full(12, 0.5 * np.linalg.norm(trial.moves.D.mean(0))))


def test_controls_of_equal_worth_are_not_called_worse(world):
    found = controls(world[0], np.zeros(12), draws=5)
    assert all(control.p > 0.5 for control in found)


def test_the_best_alpha_is_found_on_one_half_and_reported_on_the_other(world):
    found = alpha_curve(world[0])
    assert 0.75 <= found.best <= 1.25
    assert found.at_best.mean > found.at_zero.mean + 30
    assert found.alphas[0] == -1
    assert found.alphas[-1] == 2
    assert found.chosen_on != found.reported_on


def test_a_concept_without_match_counts_nowhere(world):
    trial, activations_of, before = world
    target = Target(np.array([-1, *range(1, 12)]), trial.target.U, trial.target.words, trial.target.images)
    without = ShiftTrial(trial.U, trial.moves, target, trial.words_of, "mean")
    found = recover(without, activations_of, before, resamples=0)
    assert np.isnan(found.words_after[0])
    assert np.isnan(found.cosine_gain[0])
    assert found.counts.better + found.counts.equal + found.counts.worse == 11
    assert found.summary().words_after.n == 11
