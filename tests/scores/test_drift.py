"""Windows against a reference: the tests are right where nothing changes, and see what changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from vitrail.scores.drift import binned, detectable, edges, mmd_p, paired_test, psi, window_test


def test_bins_are_those_of_numpy_and_open_at_both_ends():
    rng = np.random.default_rng(0)
    reference, values = rng.normal(size=(1000, 2)), rng.normal(size=(200, 2)) * 5
    at = edges(reference)
    for stream in range(2):
        open_edges = np.concatenate([[-np.inf], at[stream], [np.inf]])
        np.testing.assert_array_equal(binned(values, at)[stream], np.histogram(values[:, stream], open_edges)[0])


def test_equal_values_fall_into_one_bin():
    reference = np.maximum(np.random.default_rng(0).normal(size=(1000, 1)), 0)
    at = edges(reference)
    counts = binned(reference, at)[0]
    assert counts.sum() == 1000
    assert counts.max() == np.sum(reference < at[at > 0].min()) > 500


def test_psi_is_its_definition_where_no_bin_is_empty():
    a, b = np.array([[400.0, 600.0]]), np.array([[500.0, 500.0]])
    p, q = (a + 0.5) / (a + 0.5).sum(), (b + 0.5) / (b + 0.5).sum()
    assert psi(a, b)[0] == pytest.approx(np.sum((q - p) * np.log(q / p)))


@given(hnp.arrays(int, (2, 8), elements=st.integers(0, 50)))
def test_psi_is_finite_never_negative_and_0_for_the_same(counts):
    counts[:, 0] += 1
    found = psi(counts[:1], counts[1:])
    assert np.isfinite(found).all()
    assert found[0] >= 0
    assert psi(counts[:1], counts[:1])[0] == 0


def test_window_tests_are_those_of_scipy():
    rng = np.random.default_rng(0)
    reference, window = rng.integers(0, 4, (200, 3)).astype(float), rng.integers(0, 5, (90, 3)).astype(float)
    found = window_test(reference, window, permutations=0)
    for stream in range(3):
        u = stats.mannwhitneyu(window[:, stream], reference[:, stream], method="asymptotic")
        assert found.p[stream] == pytest.approx(u.pvalue)
        assert found.superiority[stream] == pytest.approx(u.statistic / (200 * 90))
    np.testing.assert_allclose(found.q, stats.false_discovery_control(found.p))


def test_a_stream_that_never_changes_its_value_has_not_moved():
    same = np.ones((50, 1))
    found = window_test(same, same[:20])
    assert found.p.tolist() == [1.0]
    assert found.psi.tolist() == [0.0]


@pytest.mark.parametrize("test", ["any stream", "joint"])
def test_false_alarms_are_as_rare_as_the_level(test):
    alarms = []
    for seed in range(120):
        rng = np.random.default_rng(seed)
        data = np.maximum(rng.normal(size=(260, 5)), 0)
        found = window_test(data[:200], data[200:], seed, 99 if test == "joint" else 0)
        alarms.append(found.joint <= 0.1 if test == "joint" else found.q.min() <= 0.1)
    assert np.mean(alarms) <= 0.1 + 3 * np.sqrt(0.09 / 120)


def test_the_joint_test_sees_what_no_single_stream_shows():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(300, 2))
    b = np.stack([a[:, 0], a[:, 0] + 0.1 * rng.normal(size=300)], axis=1)
    b[:, 1] /= b[:, 1].std()
    assert mmd_p(a, b) < 0.01
    assert mmd_p(a, rng.normal(size=(300, 2))) > 0.01


@pytest.mark.parametrize(("n", "window"), [(200, 300), (1000, 300)])
def test_what_is_said_to_be_detectable_is_found_in_95_of_100_cases(n, window):
    told = detectable(n, window, streams=10)
    rng = np.random.default_rng(0)
    level = 0.05 / 10
    found = []
    for _ in range(400):
        a, b = rng.random(n) < 0.1, rng.random(window) < told.rate_of_10
        found.append(stats.mannwhitneyu(a, b, method="asymptotic").pvalue <= level)
    assert np.mean(found) == pytest.approx(0.95, abs=0.04)
    shift = stats.norm.ppf(told.superiority) * np.sqrt(2)
    hits = [
        stats.mannwhitneyu(rng.normal(size=n), rng.normal(shift, size=window), method="asymptotic").pvalue <= level
        for _ in range(400)
    ]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.04)


def test_the_paired_test_is_wilcoxons_with_false_discovery_rates():
    rng = np.random.default_rng(0)
    before = rng.normal(size=(60, 3))
    now = before + np.array([0.0, 1.0, 0.0]) + np.array([0.0, 1.0, 1.0]) * rng.normal(size=(60, 3))
    found = paired_test(before, now)
    assert found.p[0] == 1
    for i in (1, 2):
        assert found.p[i] == pytest.approx(stats.wilcoxon(now[:, i], before[:, i], method="approx").pvalue)
    np.testing.assert_allclose(found.q, stats.false_discovery_control(found.p))
    assert found.q[1] < 0.05 < found.q[2]


def test_the_paired_test_is_false_as_rarely_as_it_says():
    rng = np.random.default_rng(1)
    p = [paired_test(*rng.normal(size=(2, 40, 1))).p[0] for _ in range(1000)]
    assert 0.03 < np.mean(np.array(p) <= 0.05) < 0.07
