"""Shifts, matches, rules and recovery: pure functions, held against planted truth."""

from __future__ import annotations

import numpy as np
import pytest
from vitrail.comparison.intervals import correlation, mean_of, paired_p

from vitrail import learners
from vitrail.comparison.changes import Rules, changes_before, counterparts, emerged, mass
from vitrail.comparison.matching import Links, links, match, t_overlap
from vitrail.comparison.recovery import Target, controls, recover, sweep
from vitrail.comparison.shift_vectors import (
    by_codes,
    consistency,
    cosines,
    magnitude,
    members,
    pairwise_consistency,
    shifts,
    sizes,
    unit,
)
from vitrail.errors import UsageError


def codes(n: int, k: int, seed: int = 0, active: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.exponential(3.0, (n, k)) * (rng.random((n, k)) < active)


# ---- shifts ----------------------------------------------------------------------------------------------------------


def test_a_sample_belongs_to_its_strongest_concept_whatever_the_sign_and_to_none_without_activation():
    V = np.array([[0.2, -3.0, 1.0], [2.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert members(V).tolist() == [1, 0, -1]
    assert sizes(V).tolist() == [1, 1, 0]


def test_the_published_shift_is_the_mean_move_of_the_concepts_samples():
    rng = np.random.default_rng(0)
    D, V = rng.normal(size=(50, 6)), codes(50, 4)
    owner = members(V)
    expected = np.array([D[owner == k].mean(0) for k in range(4)])
    assert shifts(D, V) == pytest.approx(expected)


@pytest.mark.parametrize("estimate", ["median", "trimmed"])
def test_robust_shifts_do_not_follow_an_outlier(estimate):
    D, V = np.ones((21, 3)), np.ones((21, 1))
    D[0] = 1e6
    assert shifts(D, V, estimate) == pytest.approx(np.ones((1, 3)))
    assert shifts(D, V, "mean")[0, 0] > 1e4


@pytest.mark.parametrize("estimate", ["mean", "median", "trimmed", "codes"])
def test_a_concept_without_samples_does_not_move(estimate):
    V = np.array([[1.0, 0.0], [2.0, 0.0], [0.5, 0.0]])
    found = shifts(np.ones((3, 4)), V, estimate)
    assert np.abs(found[0]).max() > 0.1
    assert found[1] == pytest.approx(np.zeros(4))


def test_an_unknown_estimate_is_refused():
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
    U, V = unit(rng.normal(size=(6, 20))), codes(300, 6)
    moves = 0.3 * rng.normal(size=U.shape)
    D = V @ (U + moves) - V @ U
    assert by_codes(D, V) == pytest.approx(moves, abs=1e-9)
    mean = shifts(D, V, "mean")
    size = np.array([V[members(V) == k, k].mean() for k in range(6)])
    assert np.linalg.norm(mean - moves) > 3 * np.linalg.norm(moves)
    assert np.linalg.norm(mean / size[:, None] - moves) > 0.2 * np.linalg.norm(moves)


def test_what_the_codes_do_not_explain_is_left_out_of_the_moves_of_atoms():
    rng = np.random.default_rng(3)
    V, moves = codes(4000, 4), rng.normal(size=(4, 10))
    noise = 2 * rng.normal(size=(4000, 10))
    assert by_codes(V @ moves + noise, V) == pytest.approx(moves, abs=0.05)


def test_atoms_that_share_their_codes_share_the_move():
    V = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert by_codes(V @ np.array([[4.0], [0.0]]), V) == pytest.approx(np.array([[2.0], [2.0]]))


def test_the_shift_of_a_learned_dictionary_leads_to_the_dictionary_after():
    """Semi-NMF on planted data: codes as they were, two atoms turned; the shifted atoms are nearer to those after."""
    rng = np.random.default_rng(4)
    U = unit(rng.normal(size=(5, 30)))
    V = codes(400, 5, active=0.35) * 4
    U_b = U.copy()
    U_b[:2] = unit(U[:2] + 0.8 * unit(rng.normal(size=(2, 30))))
    A, B = V @ U, V @ U_b
    a, b = (learners.make_learner("semi-nmf", 5, penalty=0.5).fit(Z) for Z in (A, B))
    codes_a = a.transform(A)
    pairing = match(cosines(a.components_, b.components_), "one-to-one")
    shifted = a.components_ + shifts(B - A, codes_a, "codes")
    before = np.diag(cosines(a.components_, b.components_[pairing]))
    after = np.diag(cosines(shifted, b.components_[pairing]))
    assert before.min() < 0.9
    assert after.min() > 0.99
    plain = a.components_ + shifts(B - A, codes_a, "mean")
    assert np.diag(cosines(plain, b.components_[pairing])).mean() < before.mean()


# ---- consistency -----------------------------------------------------------------------------------------------------


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
        pairs = [cosines(moves[i : i + 1], moves[j : j + 1])[0, 0] for i in range(len(moves)) for j in range(i)]
        assert consistency(D, V)[k] == pytest.approx(expected)
        assert pairwise_consistency(D, V)[k] == pytest.approx(np.mean(pairs))
        assert magnitude(D, V)[k] == pytest.approx(np.linalg.norm(mean))


def test_concepts_with_too_few_samples_have_no_consistency():
    V = np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    D = np.ones((3, 4))
    assert np.isnan(consistency(D, V)).tolist() == [False, False, True]
    assert np.isnan(pairwise_consistency(D, V)).tolist() == [False, True, True]
    assert np.isnan(magnitude(D, V)).tolist() == [False, False, True]


# ---- matching --------------------------------------------------------------------------------------------------------


def test_argmax_may_use_a_column_twice_and_one_to_one_may_not():
    C = np.array([[0.9, 0.8, 0.0], [0.95, 0.1, 0.0], [0.0, 0.2, 0.1]])
    assert match(C).tolist() == [0, 0, 1]
    assert match(C, "one-to-one").tolist() == [1, 0, 2]


def test_one_to_one_is_the_best_of_all_assignments():
    from itertools import permutations

    C = np.random.default_rng(7).normal(size=(5, 5))
    best = max(permutations(range(5)), key=lambda p: sum(C[i, j] for i, j in enumerate(p)))
    assert match(C, "one-to-one").tolist() == list(best)


def test_rows_beyond_the_columns_have_no_match():
    found = match(np.array([[0.5], [0.9], [0.1]]), "one-to-one")
    assert found.tolist() == [-1, 0, -1]
    with pytest.raises(UsageError, match="argmax or one-to-one; got 'both'"):
        match(np.eye(2), "both")  # type: ignore[arg-type]


def owned(owner: np.ndarray, k: int) -> np.ndarray:
    return np.eye(k)[owner]


def test_concepts_of_unrelated_samples_have_no_links():
    rng = np.random.default_rng(8)
    wrong = 0
    for seed in range(20):
        a, b = owned(rng.integers(8, size=200), 8), owned(rng.integers(8, size=200), 8)
        wrong += links(a, b, one_each=True, strength=0.0, permutations=200, seed=seed).linked.any()
    assert wrong <= 4  # one in twenty by chance


@pytest.mark.parametrize("one_each", [True, False])
def test_a_split_a_merge_and_a_concept_that_stays_are_linked_as_planted(one_each):
    """0 goes on as 0, 1 splits into 1 and 2, 2 and 3 merge into 3."""
    rng = np.random.default_rng(9)
    before = rng.integers(4, size=600)
    half = rng.random(600) < 0.5
    after = np.select([before == 0, (before == 1) & half, before == 1], [0, 1, 2], 3)
    found = links(owned(before, 4), owned(after, 4), one_each=one_each)
    planted = np.zeros((4, 4), dtype=bool)
    planted[[0, 1, 1, 2, 3], [0, 1, 2, 3, 3]] = True
    assert (found.linked == planted).all()
    assert found.flow.sum() == 600
    assert found.flow[1, 1] == ((before == 1) & half).sum()
    assert counterparts(found).tolist()[0] == 0


# ---- what became of each ---------------------------------------------------------------------------------------------


def planted_links() -> Links:
    """0 stays, 1 splits in two, 2 and 3 merge, 4 has nothing; 4 and 5 after have no one before."""
    strength = np.zeros((5, 6))
    for i, j, s in ((0, 0, 0.9), (1, 1, 0.6), (1, 2, 0.55), (2, 3, 0.6), (3, 3, 0.65), (0, 1, 0.3)):
        strength[i, j] = s
    flow = (100 * strength).astype(int)
    return Links(flow, strength, np.where(strength > 0, 0.01, 1.0), strength > 0)


def test_every_rule_of_change_is_applied():
    found = planted_links()
    masses = (np.full(5, 0.2), np.array([0.2, 0.1, 0.1, 0.3, 0.2, 0.1]))
    overlaps = np.zeros((5, 6))
    overlaps[0, 0] = 60
    assert changes_before(found, *masses, overlaps, Rules()) == ["refined", "split", "merged", "merged", "faded"]
    assert changes_before(found, *masses, overlaps, Rules(words=70))[0] == "changed"
    assert emerged(found, *masses, Rules()).tolist() == [False, False, False, False, True, True]


def test_a_concept_of_which_little_is_left_faded_and_one_that_grew_much_emerged():
    found = planted_links()
    overlaps = np.full((5, 6), 100.0)
    small = np.array([0.04, 0.02, 0.1, 0.3, 0.2, 0.34])
    assert changes_before(found, np.full(5, 0.2), small, overlaps, Rules())[0] == "faded"
    assert changes_before(found, np.full(5, 0.2), small, overlaps, Rules(mass=0.1))[0] == "refined"
    grown = np.array([0.7, 0.1, 0.1, 0.1, 0.0, 0.0])
    assert emerged(found, np.full(5, 0.2), grown, Rules())[0]


def test_mass_is_the_share_of_activation_or_of_samples():
    V = np.array([[3.0, 1.0], [0.0, -4.0]])
    assert mass(V, one_each=False) == pytest.approx([3 / 8, 5 / 8])
    assert mass(V, one_each=True) == pytest.approx([0.5, 0.5])


def test_t_overlap_is_the_share_of_the_first_concepts_own_words():
    assert t_overlap(["red", "blue"], ["blue", "sea", "boat", "sky"]) == 50.0
    assert t_overlap(["blue", "sea", "boat", "sky"], ["red", "blue"]) == 25.0
    assert t_overlap([], ["red"]) == 0.0


# ---- recovery --------------------------------------------------------------------------------------------------------


@pytest.fixture
def world():
    """Centroids that moved, each in its own direction, and words that are the five largest features."""
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

    V, V_b = owned(owner, 12), activations_of(U + moves)
    images = [np.argsort(-column, kind="stable")[:5].tolist() for column in V_b.T]
    target = Target(np.arange(12), U + moves, words_of(U + moves), images)
    before = [np.argsort(-column, kind="stable")[:5].tolist() for column in activations_of(U).T]
    return {"U": U, "D": B - A, "V": V, "target": target, "words_of": words_of}, activations_of, before


def test_shifts_recover_planted_moves_in_words_images_and_directions(world):
    given, activations_of, before = world
    found = recover(**given, activations_of=activations_of, estimate="mean", images_before=before, resamples=50)
    assert found.words_before.mean() < 50
    assert found.words_after.mean() > 90
    assert found.counts["better"] >= 11
    assert found.images_after.mean() > found.images_before.mean()
    assert (found.cosine_gain > 0).all()
    assert (found.interval[:, 0] <= found.words_after).all()
    assert (found.words_after <= found.interval[:, 1]).all()


def test_no_shift_at_all_leaves_everything_as_before(world):
    given, activations_of, before = world
    found = recover(
        **given, activations_of=activations_of, estimate="mean", alpha=0.0, images_before=before, resamples=0
    )
    assert (found.words_after == found.words_before).all()
    assert found.cosine_gain == pytest.approx(np.zeros(12))
    assert found.counts == {"better": 0, "equal": 12, "worse": 0}


def test_controls_do_not_recover_what_the_own_shift_does(world):
    given, *_ = world
    own = given["target"].t_overlaps(given["words_of"](given["U"] + shifts(given["D"], given["V"])))
    found = controls(**given, words_after=own, estimate="mean", draws=20)
    assert len(found) == 3
    for control in found:
        assert np.nanmean(control.words_after) < own.mean() - 20
        assert control.p < 0.01


def test_random_directions_are_as_long_as_the_shifts_they_are_held_against(world):
    given, *_ = world
    moves, words_of = [], given["words_of"]

    def recording(U: np.ndarray) -> list[list[str]]:
        moves.append(np.linalg.norm(U - given["U"], axis=1))
        return words_of(U)

    controls(**given | {"words_of": recording}, words_after=np.zeros(12), estimate="mean", alpha=0.5, draws=3)
    own = 0.5 * np.linalg.norm(shifts(given["D"], given["V"]), axis=1)
    *others, first, second, third, everyone = moves
    assert len(others) == 11
    for drawn in (first, second, third):
        assert drawn == pytest.approx(own)
    assert everyone == pytest.approx(np.full(12, 0.5 * np.linalg.norm(given["D"].mean(0))))


def test_controls_of_equal_worth_are_not_called_worse(world):
    given, *_ = world
    found = controls(**given, words_after=np.zeros(12), estimate="mean", draws=5)
    assert all(control.p > 0.5 for control in found)


def test_the_best_alpha_is_found_on_one_half_and_reported_on_the_other(world):
    given, *_ = world
    found = sweep(**given, estimate="mean")
    assert 0.75 <= found.best <= 1.25
    assert found.at_best.mean > found.at_zero.mean + 30
    assert found.alphas[0] == -1
    assert found.alphas[-1] == 2
    assert found.chosen_on != found.reported_on


def test_a_concept_without_match_counts_nowhere(world):
    given, activations_of, before = world
    target = given["target"]
    without = Target(np.array([-1, *range(1, 12)]), target.U, target.words, target.images)
    found = recover(
        **given | {"target": without}, activations_of=activations_of, estimate="mean", images_before=before, resamples=0
    )
    assert np.isnan(found.words_after[0])
    assert np.isnan(found.cosine_gain[0])
    assert sum(found.counts.values()) == 11


# ---- intervals -------------------------------------------------------------------------------------------------------


def test_the_interval_of_a_mean_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(11)
    held = 0
    for seed in range(200):
        found = mean_of(rng.normal(3.0, 1.0, 30), resamples=400, seed=seed)
        held += found.low <= 3.0 <= found.high
    assert 175 <= held <= 199


def test_means_leave_out_what_is_no_number():
    assert mean_of(np.array([1.0, np.nan, 3.0])).mean == 2.0
    assert mean_of(np.array([np.nan])).n == 0


def test_paired_p_is_exact_for_few_and_one_without_difference():
    assert paired_p(np.array([1.0, 2.0, 3.0]), np.zeros(3)) == pytest.approx(1 / 8)
    assert paired_p(np.zeros(3), np.array([1.0, 2.0, 3.0])) == 1.0
    assert paired_p(np.ones(4), np.ones(4)) == 1.0


def test_correlation_says_nothing_of_constants_and_pairs():
    assert correlation(np.arange(10.0), 2 * np.arange(10.0)).r == pytest.approx(1.0)
    assert np.isnan(correlation(np.ones(10), np.arange(10.0)).r)
    assert np.isnan(correlation(np.arange(2.0), np.arange(2.0)).p)
    assert correlation(np.array([1.0, 2, 3, np.nan]), np.array([3.0, 2, 1, 0])).n == 3
