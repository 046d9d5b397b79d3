"""Sums over rows are those of numpy over all of them, however the rows are cut, and wherever their mean lies."""

from __future__ import annotations

import numpy as np
import pytest

from vitrail.errors import UsageError
from vitrail.scores.moments import REDUCERS, Covariance, Mean, check_reducers

#: What numpy computes of all rows at once.
ORACLES = {
    "mean": lambda Z: Z.mean(0, dtype=np.float64),
    "covariance": lambda Z: np.cov(Z.astype(np.float64), rowvar=False),
    "gram": lambda Z: Z.astype(np.float64).T @ Z.astype(np.float64),
}
#: Real states are mostly their mean, and some features are far larger than the others.
OFFSETS = {"centred": 0.0, "mostly mean": 300.0}
CUTS = {"one piece": [], "even": [50, 100, 150], "uneven, one empty": [1, 1, 3, 199]}


@pytest.fixture(params=OFFSETS)
def rows(request) -> np.ndarray:
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(200, 12)) * np.geomspace(0.01, 100, 12) + OFFSETS[request.param]
    return Z.astype(np.float32)


def test_every_reducer_has_an_oracle():
    assert ORACLES.keys() == REDUCERS.keys()


@pytest.mark.parametrize("cuts", CUTS)
@pytest.mark.parametrize("name", ORACLES)
def test_what_is_accumulated_is_what_numpy_computes_of_all_rows(rows, name, cuts):
    first, *others = [REDUCERS[name].of(part) for part in np.split(rows, CUTS[cuts])]
    for one in others:
        first = first.merged(one)
    assert first.n == len(rows)
    expected = ORACLES[name](rows)
    np.testing.assert_allclose(first.value, expected, rtol=1e-9, atol=1e-9 * np.abs(expected).max())
    assert first.value.dtype == np.float64
    again = REDUCERS[name].from_arrays(first.arrays())
    np.testing.assert_array_equal(again.value, first.value)
    assert again.n == first.n


def test_the_order_of_a_merge_does_not_matter(rows):
    a, b = Covariance.of(rows[:30]), Covariance.of(rows[30:])
    np.testing.assert_allclose(a.merged(b).value, b.merged(a).value, rtol=1e-9, atol=1e-9)


def test_no_rows_have_no_mean_and_change_no_other():
    none = Mean.of(np.zeros((0, 3), np.float32))
    some = Mean.of(np.ones((2, 3), np.float32))
    for merged in (none.merged(some), some.merged(none)):
        assert merged.n == 2
        np.testing.assert_array_equal(merged.mean, np.ones(3))


def test_the_covariance_of_one_row_is_refused():
    with pytest.raises(UsageError, match="two rows or more; there are 1"):
        _ = Covariance.of(np.ones((1, 3))).value


@pytest.mark.parametrize("names", [[], ["median"], ["mean", "mean"]])
def test_what_cannot_be_accumulated_is_refused_with_what_can(names):
    with pytest.raises(UsageError, match="mean, covariance, gram, each once"):
        check_reducers(names)
