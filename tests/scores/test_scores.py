"""Scores against arithmetic by hand and against scipy; the library behind BERTScore is in `test_scorers.py`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vitrail import scores


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, float)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def texts_of(rng, n: int, d: int = 8) -> list[np.ndarray]:
    return [unit(rng.normal(size=(int(rng.integers(1, 7)), d))) for _ in range(n)]


# ---- CLIPScore and BERTScore -----------------------------------------------------------------------------------------


def test_clipscore_is_two_and_a_half_times_the_cosine_and_never_negative():
    images, texts = unit([[1, 0], [1, 1]]), unit([[1, 0], [0, -1]])
    expected = [[2.5, 0.0], [2.5 / np.sqrt(2), 0.0]]
    np.testing.assert_allclose(scores.clip_score(images, texts), expected, atol=1e-12)


def test_bertscore_by_hand():
    candidate = unit([[1, 0], [0, 1]])
    reference = unit([[1, 0], [1, 1], [-1, 0]])
    root = 1 / np.sqrt(2)
    precision = (1 + root) / 2  # each candidate token with its nearest reference token
    recall = (1 + root + 0) / 3  # each reference token with its nearest candidate token
    found = scores.bert_score([candidate], [reference])
    assert found.precision.item() == pytest.approx(precision)
    assert found.recall.item() == pytest.approx(recall)
    assert found.f1.item() == pytest.approx(2 * precision * recall / (precision + recall))


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 6), st.sampled_from([1, 3, 5, 1000]))
@settings(max_examples=30, deadline=None)
def test_bertscore_of_all_pairs_is_that_of_each_pair(seed, n, m, block):
    rng = np.random.default_rng(seed)
    candidates, references = texts_of(rng, n), texts_of(rng, m)
    found = scores.bert_score(candidates, references, block=block)
    for i, x in enumerate(candidates):
        for j, y in enumerate(references):
            similar = x @ y.T
            p, r = similar.max(axis=1).mean(), similar.max(axis=0).mean()
            assert found.precision[i, j] == pytest.approx(p)
            assert found.recall[i, j] == pytest.approx(r)
            assert found.f1[i, j] == pytest.approx(2 * p * r / (p + r) if p + r > 0 else 0)


def test_bertscore_of_a_text_with_itself_is_one_and_of_an_empty_one_an_error():
    some = texts_of(np.random.default_rng(0), 1)
    assert scores.bert_score(some, some).f1.item() == pytest.approx(1)
    with pytest.raises(ValueError, match="at least one token"):
        scores.bert_score(some, [np.zeros((0, 8))])
    assert scores.bert_score([], some).f1.shape == (0, 1)


# ---- dictionaries ----------------------------------------------------------------------------------------------------


def test_overlap_counts_shared_words():
    assert scores.overlap([{"a", "b"}, {"a", "b"}]) == 1
    assert scores.overlap([{"a"}, {"b"}, {"c"}]) == 0
    assert scores.overlap([{"a", "b"}, {"b"}, set()]) == pytest.approx((0.5 + 0 + 1 + 0 + 0 + 0) / 6)


def test_pairwise_cosine_of_each_concept_with_the_others():
    U = np.array([[1.0, 0], [0, 2], [-3, 0]])
    np.testing.assert_allclose(scores.pairwise_cosine(U), [0.5, 0, 0.5])
    assert scores.pairwise_cosine(U[:1]).tolist() == [0]


def test_sparsity():
    V = np.array([[1.0, 1, 1, 1], [0, 0, 5, 0], [0, 0, 0, 0]])
    assert scores.l0(V).tolist() == [4, 1, 0]
    assert scores.l0(np.array([[0.01, -2, 0]])).tolist() == [2]  # however little, whatever the sign
    np.testing.assert_allclose(scores.hoyer(V), [0, 1, np.nan])
    np.testing.assert_allclose(scores.hoyer(V[:2] * -7), [0, 1])
    assert np.isnan(scores.hoyer(V[:, :1])).all()
    assert scores.dead(np.array([[0.0, 1], [0, -1]])).tolist() == [True, False]


def test_explained_variance_is_one_for_the_states_and_zero_for_their_mean():
    Z = np.random.default_rng(0).normal(size=(50, 4)) + 3
    mean = Z.mean(axis=0)
    assert scores.explained_variance(Z, Z, mean).mean == pytest.approx(1)
    assert scores.explained_variance(Z, np.tile(mean, (50, 1)), mean).mean == pytest.approx(0)
    half = scores.explained_variance(Z, np.c_[Z[:, :2], np.tile(mean[2:], (50, 1))], mean)
    expected = ((Z[:, :2] - mean[:2]) ** 2).sum() / ((Z - mean) ** 2).sum()
    assert half.mean == pytest.approx(expected)
    assert half.low < half.mean < half.high
    assert np.isnan(scores.explained_variance(np.ones((3, 2)), np.ones((3, 2)), np.ones(2)).mean)


def test_matched_cosine_knows_the_same_dictionary_in_another_order_and_sign():
    rng = np.random.default_rng(0)
    U = rng.normal(size=(5, 16))
    order = rng.permutation(5)
    np.testing.assert_allclose(scores.matched_cosine(U, 3 * U[order]), 1)
    np.testing.assert_allclose(scores.matched_cosine(U, -U[order], signed=True), 1)
    assert scores.matched_cosine(U, -U[order]).mean() < 0.6
    with pytest.raises(ValueError, match="same shape"):
        scores.matched_cosine(U, U[:4])


# ---- the truth -------------------------------------------------------------------------------------------------------


def planted(n: int, seed: int) -> tuple[np.ndarray, list[dict]]:
    """Concept 0 is red, 1 is blue, 2 runs, 3 is noise; a third factor is in no concept."""
    rng = np.random.default_rng(seed)
    colour = rng.choice(["red", "blue", "green"], n)
    action = rng.choice(["running", "sleeping"], n)
    V = np.stack([colour == "red", colour == "blue", action == "running", rng.random(n) < 0.5], axis=1) * 1.0
    V += 0.1 * rng.random((n, 4))
    rows = [{"colour": c, "action": a, "luck": int(rng.integers(2))} for c, a in zip(colour, action, strict=True)]
    return V, rows


def test_planted_factors_are_found_on_held_out_samples_and_luck_is_not():
    V, rows = planted(300, 0)
    matrix = scores.factor_matrix(V, rows)
    found = scores.held_out(matrix, *planted(200, 1))
    judged = {
        (f, v): (k, a) for f, v, k, a in zip(found.factors, found.values, found.concept, found.held_out, strict=True)
    }
    assert judged["colour", "red"] == (0, 1)
    assert judged["colour", "blue"] == (1, 1)
    assert judged["action", "running"] == (2, 1)
    assert found.by_factor["luck"].mean < 0.6
    assert matrix.by_factor["luck"] > 0.5  # the best of four fits anything a little
    level = scores.permuted_level(V, rows)
    assert level["luck"].low <= matrix.by_factor["luck"] <= level["luck"].high + 0.05
    assert level["colour"].high < 0.65 < 0.8 < matrix.by_factor["colour"]


def test_values_that_too_few_held_out_samples_have_are_not_judged():
    V, rows = planted(300, 0)
    W, few = planted(40, 1)
    few = [row | {"colour": "red"} for row in few]
    found = scores.held_out(scores.factor_matrix(V, rows), W, few)
    by_value = dict(zip(found.values, found.held_out, strict=True))
    assert np.isnan([by_value["red"], by_value["blue"]]).all()
    assert "colour" not in found.by_factor
    assert by_value["running"] == pytest.approx(1)


def test_signed_activations_are_judged_by_the_sign_that_was_chosen():
    V, rows = planted(300, 0)
    W, other = planted(200, 1)
    found = scores.held_out(scores.factor_matrix(-V, rows), -W, other)
    assert dict(zip(found.values, found.held_out, strict=True))["running"] == pytest.approx(1)


def test_purity_is_the_share_of_own_samples_with_the_best_value():
    V, rows = planted(300, 0)
    matrix = scores.factor_matrix(V, rows)
    samples = [[rows[i] for i in np.argsort(-V[:, k])[:5]] for k in range(2)]
    mixed = [{"action": "running"}, {"action": "sleeping"}]
    found, chance = scores.purity(matrix, [*samples, mixed, []])
    np.testing.assert_allclose(found, [1, 1, 0.5, np.nan])
    assert chance[0] == pytest.approx(np.mean([row["colour"] == "red" for row in rows]))


def test_disentanglement_is_high_where_each_concept_serves_one_factor():
    V, rows = planted(300, 0)
    W, other = planted(200, 1)
    rows, other = ([{k: r[k] for k in ("colour", "action")} for r in some] for some in (rows, other))
    one = scores.disentanglement(V, rows, W, other, n_trees=30)
    mix = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    mixed = scores.disentanglement(V @ mix, rows, W @ mix, other, n_trees=30)
    assert one.disentanglement > 0.75 > 0.6 > mixed.disentanglement
    assert one.completeness > mixed.completeness
    assert one.informativeness["action"] > 0.97 > 0.65 > one.majority["action"]


# ---- intervals -------------------------------------------------------------------------------------------------------


def test_the_interval_is_scipys():
    values = np.random.default_rng(0).exponential(size=200)
    found = scores.estimate(values)
    peer = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=5000).confidence_interval
    assert found.mean == values.mean()
    assert found.std == values.std()
    assert (found.low, found.high) == pytest.approx(tuple(peer), abs=0.02)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    found = [scores.estimate(rng.normal(size=60), resamples=400) for _ in range(200)]
    assert 0.88 <= np.mean([f.low <= 0 <= f.high for f in found]) <= 0.99


def test_too_few_units_have_no_interval_and_unknown_ones_count_for_nothing():
    assert np.isnan(scores.estimate(np.array([])).mean)
    one = scores.estimate(np.array([2.0, np.nan]))
    assert (one.mean, one.n) == (2, 1)
    assert np.isnan(one.low)
    assert scores.estimate(np.array([3.0, 3.0])).low == 3


def test_a_single_pair_can_be_no_rarer_than_its_signs():
    one, zero = np.array([2.0]), np.zeros(1)
    assert scores.paired_p(one, zero) == 1
    assert scores.paired_p(one, zero, alternative="greater") == 0.5
    assert scores.paired_p(zero, one, alternative="greater") == 1


def test_paired_and_unpaired_p_are_scipys():
    rng = np.random.default_rng(1)
    a = rng.normal(size=12)
    b = a - 0.3 + rng.normal(size=12)

    def mean(x, axis):
        return x.mean(axis=axis)

    def difference(x, y, axis):
        return x.mean(axis=axis) - y.mean(axis=axis)

    exact = stats.permutation_test((a - b,), mean, permutation_type="samples", vectorized=True).pvalue
    assert 0.1 < exact < 0.9  # where one side and two sides differ
    assert scores.paired_p(a, b) == pytest.approx(exact, abs=0.02)
    assert scores.paired_p(b, a) == pytest.approx(exact, abs=0.02)
    peer = stats.permutation_test((a, b), difference, vectorized=True, n_resamples=9999).pvalue
    assert scores.unpaired_p(a, b) == pytest.approx(peer, abs=0.03)


def test_the_interval_of_an_unpaired_difference_is_scipys():
    rng = np.random.default_rng(2)
    a, b = rng.exponential(size=150) + 1, rng.exponential(size=90)

    def difference(x, y, axis):
        return x.mean(axis=axis) - y.mean(axis=axis)

    peer = stats.bootstrap((a, b), difference, vectorized=True, method="percentile", n_resamples=5000)
    found = scores.unpaired_gain(np.append(a, np.nan), b)
    assert found.mean == pytest.approx(a.mean() - b.mean())
    assert (found.low, found.high) == pytest.approx(tuple(peer.confidence_interval), abs=0.03)
    assert found.n == 240
    assert np.isnan(scores.unpaired_gain(a, b[:1]).mean)


def test_p_of_nothing_is_unknown_and_of_the_smallest_possible_null_not_zero():
    assert np.isnan(scores.paired_p(np.array([np.nan]), np.array([1.0])))
    assert np.isnan(scores.exceeded(np.nan, np.zeros(3)))
    assert scores.exceeded(1.0, np.zeros(99)) == 0.01
    assert scores.exceeded(0.1 + 0.2, np.full(9, 0.3)) == 1  # the same number, but for the last bit


def test_under_the_null_p_is_uniform():
    rng = np.random.default_rng(0)
    p = [scores.paired_p(rng.normal(size=20), np.zeros(20), resamples=199) for _ in range(200)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_correction_leaves_unknown_ones_alone():
    found = scores.corrected([0.001, np.nan, 0.04])
    assert found[0] == pytest.approx(0.002)
    assert np.isnan(found[1])
    assert found[2] == pytest.approx(0.04)
    assert np.isnan(scores.corrected([np.nan])).all()
