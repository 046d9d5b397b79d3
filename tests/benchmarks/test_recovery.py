"""The methods that are compared with Semi-NMF do what they are said to do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from benchmarks import recovery
from vitrail.learners import kkt_residual

WEIGHT = 0.5


@pytest.fixture(scope="module")
def planted() -> tuple[np.ndarray, np.ndarray]:
    """Centred states (200, 12) that are sparse sums of four orthonormal directions, and these."""
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.standard_normal((12, 12)))[0][:4]
    codes = rng.gamma(9, 1, (200, 4)) * (rng.random((200, 4)) < 0.15)
    X = codes @ U + 0.01 * rng.standard_normal((200, 12))
    return (X - X.mean(axis=0)).astype(np.float32), U


@pytest.mark.parametrize("method", recovery.METHODS)
def test_every_method_finds_planted_directions_and_exact_codes(method, planted, monkeypatch):
    monkeypatch.setattr(recovery, "STEPS", 400)
    X, U = planted
    learned = recovery.METHODS[method](X, 4, WEIGHT, 0)
    assert learned.U.shape == (4, 12)
    np.testing.assert_allclose(np.linalg.norm(learned.U, axis=1), 1, atol=1e-5)
    V = learned.codes(X)
    assert V.min() >= 0
    if method != "exclusive groups":  # whose codes have a penalty of their own
        assert kkt_residual(X, learned.U, V, WEIGHT).max() < 1e-4
    assert np.abs(learned.U @ U.T).max(axis=0).min() > 0.8
    assert ((X - V @ learned.U) ** 2).sum() < 0.3 * (X**2).sum()


def test_another_seed_may_find_others_and_the_same_seed_the_same(planted):
    X, _ = planted
    first, again, other = (recovery.archetypal(X, 4, WEIGHT, seed).U for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_simplex_is_reached_on_the_shortest_way():
    W = np.random.default_rng(0).standard_normal((3, 4))
    found = recovery.on_simplex(W)
    for row, mine in zip(W, found, strict=True):
        bounds, sums = [(0, None)] * 4, {"type": "eq", "fun": lambda x: x.sum() - 1}
        best = minimize(lambda x, w=row: ((x - w) ** 2).sum(), np.full(4, 0.25), bounds=bounds, constraints=sums)
        np.testing.assert_allclose(mine, best.x, atol=1e-3)


def test_concepts_of_a_group_exclude_each_other_more_than_without(planted):
    X, _ = planted
    apart, free = (method(X, 4, WEIGHT, 0) for method in (recovery.exclusive, recovery.semi_nmf))
    assert (apart.codes(X) > 0).sum() < (free.codes(X) > 0).sum()
