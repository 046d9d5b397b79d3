"""Shifts of prototypes and atoms, and how consistent moves are, against planted truth."""

from __future__ import annotations

import numpy as np
import pytest

from vitrail import learners, scores
from vitrail.comparison.matching import match
from vitrail.comparison.shift_vectors import (
    consistency,
    least_squares_shifts,
    magnitude,
    members,
    move_of_mean,
    n_members,
    pairwise_consistency,
    shifts,
)
from vitrail.errors import UsageError


def codes(n: int, k: int, seed: int = 0, active: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.exponential(3.0, (n, k)) * (rng.random((n, k)) < active)


# ---- shifts ----------------------------------------------------------------------------------------------------------


def test_a_sample_belongs_to_its_strongest_concept_whatever_the_sign_and_to_none_without_activation():
    V = np.array([[0.2, -3.0, 1.0], [2.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert members(V).tolist() == [1, 0, -1]
    assert n_members(V).tolist() == [1, 1, 0]


def test_the_published_shift_is_the_mean_move_of_the_concepts_samples():
    rng = np.random.default_rng(0)
    D, V = rng.normal(size=(50, 6)), codes(50, 4)
    owner = members(V)
    expected = np.array([D[owner == k].mean(0) for k in range(4)])
    assert shifts(D, V) == pytest.approx(expected)


@pytest.mark.parametrize("estimator", ["median", "trimmed"])
def test_robust_shifts_do_not_follow_an_outlier(estimator):
    D, V = np.ones((21, 3)), np.ones((21, 1))
    D[0] = 1e6
    assert shifts(D, V, estimator) == pytest.approx(np.ones((1, 3)))
    assert shifts(D, V, "mean")[0, 0] > 1e4


@pytest.mark.parametrize("estimator", ["mean", "median", "trimmed", "codes"])
def test_a_concept_without_samples_does_not_move(estimator):
    V = np.array([[1.0, 0.0], [2.0, 0.0], [0.5, 0.0]])
    found = shifts(np.ones((3, 4)), V, estimator)
    assert np.abs(found[0]).max() > 0.1
    assert found[1] == pytest.approx(np.zeros(4))


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_estimator_is_refused():
    with pytest.raises(UsageError, match="mean, median, trimmed, codes; got 'mode'"):
        shifts(np.ones((3, 4)), np.ones((3, 2)), "mode")  # type: ignore[arg-type]


def test_planted_moves_of_centroids_are_found_by_the_mean():
    rng = np.random.default_rng(1)
    U, moves, owner = rng.normal(size=(5, 8)) * 10, rng.normal(size=(5, 8)), rng.integers(5, size=400)
    noise_a, noise_b = rng.normal(size=(2, 400, 8)) * 0.01
    A, B = U[owner] + noise_a, (U + moves)[owner] + noise_b
    V = np.eye(5)[owner]
    assert shifts(B - A, V) == pytest.approx(moves, abs=0.01)


def test_planted_moves_of_atoms_are_found_by_the_codes_and_not_by_the_mean():
    """`A = V U` and `B = V (U + Δ)`: the moves of the atoms are found exactly; means are of another size and mixed."""
    rng = np.random.default_rng(2)
    U, V = scores.unit(rng.normal(size=(6, 20))), codes(300, 6)
    moves = 0.3 * rng.normal(size=U.shape)
    D = V @ (U + moves) - V @ U
    assert least_squares_shifts(D, V) == pytest.approx(moves, abs=1e-9)
    mean = shifts(D, V, "mean")
    size = np.array([V[members(V) == k, k].mean() for k in range(6)])
    assert np.linalg.norm(mean - moves) > 3 * np.linalg.norm(moves)
    assert np.linalg.norm(mean / size[:, None] - moves) > 0.2 * np.linalg.norm(moves)


def test_what_the_codes_do_not_explain_is_left_out_of_the_moves_of_atoms():
    rng = np.random.default_rng(3)
    V, moves = codes(4000, 4), rng.normal(size=(4, 10))
    noise = 2 * rng.normal(size=(4000, 10))
    assert least_squares_shifts(V @ moves + noise, V) == pytest.approx(moves, abs=0.05)


def test_atoms_that_share_their_codes_share_the_move():
    V = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert least_squares_shifts(V @ np.array([[4.0], [0.0]]), V) == pytest.approx(np.array([[2.0], [2.0]]))


@pytest.mark.parametrize(("form", "penalty", "moved"), [("paper", 0.5, 0.0), ("centred", 0.02, 50.0)])
def test_the_shift_of_a_learned_dictionary_leads_to_the_dictionary_after(form, penalty, moved):
    """Semi-NMF on planted data: codes as they were, two atoms turned; the shifted atoms are nearer to those after."""
    rng = np.random.default_rng(4)
    U = scores.unit(rng.normal(size=(5, 30)))
    V = codes(400, 5, active=0.35) * 4
    U_b = U.copy()
    U_b[:2] = scores.unit(U[:2] + 0.8 * scores.unit(rng.normal(size=(2, 30))))
    A, B = V @ U, V @ U_b + moved * rng.normal(size=30)  # all samples move together, too
    a, b = (learners.make_learner("semi-nmf", 5, penalty=penalty, form=form).fit(Z) for Z in (A, B))
    codes_a = a.transform(A)
    pairing = match(scores.cosines(a.components_, b.components_), "one-to-one")
    shifted = a.components_ + shifts(B - A - move_of_mean(a.intercept, b.intercept, 30), codes_a, "codes")
    before = np.diag(scores.cosines(a.components_, b.components_[pairing]))
    after = np.diag(scores.cosines(shifted, b.components_[pairing]))
    assert before.min() < 0.9
    assert after.min() > (0.99 if form == "paper" else 0.98)
    plain = a.components_ + shifts(B - A, codes_a, "mean")
    assert np.diag(scores.cosines(plain, b.components_[pairing])).mean() < before.mean()


# ---- consistency ---------------------------------------------------------------------------------------------------


def test_consistency_is_one_when_all_move_alike_and_falls_to_chance_when_none_does():
    rng = np.random.default_rng(5)
    V = np.ones((2000, 1))
    alike = np.tile(rng.normal(size=64), (2000, 1))
    random = rng.normal(size=(2000, 64))
    assert consistency(alike, V) == pytest.approx([1.0])
    assert pairwise_consistency(alike, V) == pytest.approx([1.0])
    assert abs(consistency(random, V)[0]) < 0.05
    assert abs(pairwise_consistency(random, V)[0]) < 0.005


def test_consistency_is_what_its_formula_says():
    rng = np.random.default_rng(6)
    D, V = rng.normal(size=(30, 5)) + 0.5, codes(30, 3, seed=6)
    owner = members(V)
    for k in range(3):
        moves = D[owner == k]
        mean = moves.mean(0)
        expected = np.mean([m @ mean / np.linalg.norm(m) / np.linalg.norm(mean) for m in moves])
        pairs = [scores.cosines(moves[i : i + 1], moves[j : j + 1])[0, 0] for i in range(len(moves)) for j in range(i)]
        assert consistency(D, V)[k] == pytest.approx(expected)
        assert pairwise_consistency(D, V)[k] == pytest.approx(np.mean(pairs))
        assert magnitude(D, V)[k] == pytest.approx(np.linalg.norm(mean))


def test_concepts_with_too_few_samples_have_no_consistency():
    V = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    D = np.ones((3, 4))
    assert np.isnan(consistency(D, V)).tolist() == [False, False, True]
    assert np.isnan(pairwise_consistency(D, V)).tolist() == [False, True, True]
    assert np.isnan(magnitude(D, V)).tolist() == [False, False, True]
