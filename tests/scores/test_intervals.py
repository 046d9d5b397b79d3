"""Intervals, tests and corrections against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vitrail import scores


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


def test_the_p_of_a_single_pair_counts_both_signs():
    assert scores.paired_p(np.array([2.0]), np.array([1.0])) == 1.0
    assert scores.paired_p(np.array([2.0]), np.array([1.0]), alternative="greater") == 0.5
    assert scores.paired_p(np.array([1.0]), np.array([2.0]), alternative="greater") == 1.0


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


def test_paired_p_is_exact_for_few_and_one_without_difference():
    assert scores.paired_p(np.array([1.0, 2.0, 3.0]), np.zeros(3), alternative="greater") == pytest.approx(1 / 8)
    assert scores.paired_p(np.zeros(3), np.array([1.0, 2.0, 3.0]), alternative="greater") == 1.0
    assert scores.paired_p(np.ones(4), np.ones(4), alternative="greater") == 1.0


def test_correlation_says_nothing_of_constants_and_pairs():
    assert scores.correlation(np.arange(10.0), 2 * np.arange(10.0)).r == pytest.approx(1.0)
    assert np.isnan(scores.correlation(np.ones(10), np.arange(10.0)).r)
    assert np.isnan(scores.correlation(np.arange(2.0), np.arange(2.0)).p)
    assert scores.correlation(np.array([1.0, 2, 3, np.nan]), np.array([3.0, 2, 1, 0])).n == 3


def test_the_auroc_is_that_of_scikit_learn_and_its_interval_covers_it():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    covered = []
    for seed in range(40):
        labels = rng.random(150) < 0.4
        values = np.round(rng.normal(size=150) + labels, 1)  # with ties; the true AUROC is Φ(1/√2) = .76
        found = scores.auroc_estimate(values, labels, seed=seed, resamples=400)
        assert found.mean == pytest.approx(roc_auc_score(labels, values))
        covered.append(found.low <= 0.76 <= found.high)
    assert np.mean(covered) >= 0.85


def test_the_gain_in_auroc_is_paired():
    rng = np.random.default_rng(1)
    labels = rng.random(200) < 0.5
    good = rng.normal(size=200) + 2 * labels
    worse = good + rng.normal(size=200)
    gain = scores.auroc_estimate(good, labels, worse)
    apart = scores.auroc_estimate(good, labels).mean - scores.auroc_estimate(worse, labels).mean
    assert gain.mean == pytest.approx(apart)
    assert 0 < gain.low < gain.high
    assert (same := scores.auroc_estimate(good, labels, good)).low == same.mean == same.high == 0
    assert np.isnan(scores.auroc_estimate(good, np.ones(200, bool)).mean)
