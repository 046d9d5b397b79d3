"""Intervals, one-sided tests and correlations on small cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vitrail import scores


def test_the_interval_of_a_mean_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(11)
    held = 0
    for seed in range(200):
        found = scores.estimate(rng.normal(3.0, 1.0, 30), resamples=400, seed=seed)
        held += found.low <= 3.0 <= found.high
    assert 175 <= held <= 199


def test_means_leave_out_what_is_no_number():
    assert scores.estimate(np.array([1.0, np.nan, 3.0])).mean == 2.0
    assert scores.estimate(np.array([np.nan])).n == 0


def test_paired_p_is_exact_for_few_and_one_without_difference():
    assert scores.paired_p(np.array([1.0, 2.0, 3.0]), np.zeros(3), alternative="greater") == pytest.approx(1 / 8)
    assert scores.paired_p(np.zeros(3), np.array([1.0, 2.0, 3.0]), alternative="greater") == 1.0
    assert scores.paired_p(np.ones(4), np.ones(4), alternative="greater") == 1.0


def test_correlation_says_nothing_of_constants_and_pairs():
    assert scores.correlation(np.arange(10.0), 2 * np.arange(10.0)).r == pytest.approx(1.0)
    assert np.isnan(scores.correlation(np.ones(10), np.arange(10.0)).r)
    assert np.isnan(scores.correlation(np.arange(2.0), np.arange(2.0)).p)
    assert scores.correlation(np.array([1.0, 2, 3, np.nan]), np.array([3.0, 2, 1, 0])).n == 3
