"""Codes are the exact minimum of the non-negative lasso, for any row in any company."""

import doctest
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso

from vitrail.learners import codes, codes_from_gram, kkt_residual, nonnegative_lasso, objective


def problem(n=30, d=12, K=7, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    U = rng.standard_normal((K, d))
    Z = 3 * np.abs(rng.standard_normal((n, K))) @ U + rng.standard_normal((n, d))
    return Z.astype(dtype), U.astype(dtype)


@pytest.mark.parametrize("penalty", [0.1, 2.0, 20.0])
def test_codes_are_those_of_scikit_learns_lasso(penalty):
    Z, U = problem()
    lasso = Lasso(penalty / (2 * Z.shape[1]), positive=True, fit_intercept=False, tol=1e-14, max_iter=100_000)
    expected = np.array([lasso.fit(U.T, z).coef_ for z in Z])
    V = nonnegative_lasso(Z, U, penalty)
    assert (expected > 0).any()
    assert (expected == 0).any()
    np.testing.assert_allclose(V, expected, atol=1e-6)


def test_orthonormal_concepts_give_the_soft_threshold_at_half_the_penalty():
    Z = np.random.default_rng(0).standard_normal((50, 4)) * 3
    np.testing.assert_allclose(nonnegative_lasso(Z, np.eye(4), 2.0), np.maximum(Z - 1, 0), atol=1e-10)


def test_without_penalty_and_with_positive_truth_codes_are_the_truth():
    rng = np.random.default_rng(0)
    U, V = rng.standard_normal((5, 20)), rng.random((40, 5)) + 0.1
    np.testing.assert_allclose(nonnegative_lasso(V @ U, U, 0.0), V, atol=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kkt_residual_is_below_1e_6_at_full_size(dtype):
    Z, U = problem(n=500, d=1024, K=20, dtype=dtype)
    V = nonnegative_lasso(Z, U, 2.0)
    assert V.dtype == dtype
    assert kkt_residual(Z, U, V, 2.0).max() < 1e-6


def test_kkt_residual_sees_every_kind_of_wrong_code():
    Z, U = np.array([[3.0, -1.0]]), np.eye(2)
    exact = np.array([[2.0, 0.0]])
    np.testing.assert_allclose(kkt_residual(Z, U, exact, 2.0), [0])
    np.testing.assert_allclose(kkt_residual(Z, U, exact + np.array([0.4, 0]), 2.0), [0.8 / 8])  # too large
    np.testing.assert_allclose(kkt_residual(Z, U, 0 * exact, 2.0), [4 / 8])  # zero, but worth using
    np.testing.assert_allclose(
        kkt_residual(Z, U, exact + np.array([0, 0.1]), 2.0), [4.2 / 8]
    )  # in use, but not worth it
    assert kkt_residual(Z, U, -exact, 2.0) == [np.inf]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-3, 1.0, 5.0]))
def test_optimal_whatever_the_concepts(seed, penalty):
    rng = np.random.default_rng(seed)
    n, d, K = rng.integers(1, 12), rng.integers(1, 8), rng.integers(1, 15)  # more concepts than features, too
    U = rng.integers(-2, 3, (K, d)).astype(float) if rng.random() < 0.5 else rng.standard_normal((K, d))
    U[rng.integers(K)] = U[rng.integers(K)]  # a duplicate
    U[rng.integers(K)] = -U[rng.integers(K)]  # an opposite
    U[rng.integers(K)] *= rng.integers(2)  # a zero
    U *= 10.0 ** rng.integers(-3, 4, (K, 1))
    Z = rng.standard_normal((n, d)) * 10.0 ** rng.integers(-3, 4)
    V = nonnegative_lasso(Z, U, penalty)
    assert (V >= 0).all()
    assert kkt_residual(Z, U, V, penalty).max() < 1e-6


def test_a_row_has_the_same_code_alone_and_in_any_batch(monkeypatch):
    Z, U = problem(n=64, d=300, K=15)
    together = nonnegative_lasso(Z, U, 2.0)
    order = np.random.default_rng(1).permutation(64)
    np.testing.assert_allclose(nonnegative_lasso(Z[order], U, 2.0), together[order], rtol=1e-10, atol=1e-12)
    alone = np.vstack([nonnegative_lasso(z[None], U, 2.0) for z in Z])
    np.testing.assert_allclose(alone, together, rtol=1e-10, atol=1e-12)
    monkeypatch.setattr("vitrail.learners.arrays._BLOCK", 1000)
    np.testing.assert_allclose(nonnegative_lasso(Z, U, 2.0), together, rtol=1e-10, atol=1e-12)


def test_duplicate_concepts_share_their_code():
    U = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(nonnegative_lasso(np.array([[5.0, 2.0]]), U, 2.0), [[2, 2, 1]], atol=1e-5)


def test_rows_that_pivoting_leaves_are_finished_by_coordinate_descent(monkeypatch):
    Z, U = problem()
    exact = nonnegative_lasso(Z, U, 2.0)
    monkeypatch.setattr(codes, "_ROUNDS", 1)
    monkeypatch.setattr(codes, "_MOST_STEPS", 0)
    np.testing.assert_allclose(nonnegative_lasso(Z, U, 2.0), exact, atol=1e-6)


def test_the_gram_matrix_is_enough():
    Z, U = problem()
    np.testing.assert_allclose(codes_from_gram(U @ U.T, Z @ U.T, 2.0), nonnegative_lasso(Z, U, 2.0), atol=1e-12)


def test_objective_is_the_formula():
    Z, U = problem()
    V = nonnegative_lasso(Z, U, 2.0)
    assert objective(Z, U, V, 2.0) == pytest.approx(((Z - V @ U) ** 2).sum() + 2 * V.sum(), rel=1e-12)
    for other in (V * 1.01, V * 0.99, V + 0.01):
        assert objective(Z, U, other, 2.0) > objective(Z, U, V, 2.0)


@pytest.mark.parametrize(
    ("Z", "U", "penalty", "match"),
    [
        (np.ones((2, 3)), np.ones((2, 4)), 1.0, r"\(2, 3\) and \(2, 4\)"),
        (np.ones(3), np.ones((2, 3)), 1.0, r"\(3,\)"),
        (np.ones((2, 3)), np.ones((0, 3)), 1.0, "K ≥ 1"),
        (np.full((2, 3), np.nan), np.ones((2, 3)), 1.0, "finite"),
        (np.ones((2, 3)), np.full((2, 3), np.inf), 1.0, "finite"),
        (np.ones((2, 3)), np.ones((2, 3)), -1.0, "-1.0"),
        (np.ones((2, 3)), np.ones((2, 3)), np.nan, "nan"),
    ],
)
def test_what_makes_no_sense_is_refused(unchecked, Z, U, penalty, match):
    with pytest.raises(ValueError, match=match):
        nonnegative_lasso(Z, U, penalty)


def test_kkt_residual_refuses_codes_of_another_shape():
    with pytest.raises(ValueError, match=r"\(2, 5\), got \(2, 4\)"):
        kkt_residual(np.ones((2, 3)), np.ones((5, 3)), np.ones((2, 4)), 1.0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_torch_in_torch_out(dtype):
    torch = pytest.importorskip("torch")
    Z, U = (torch.tensor(array, dtype=getattr(torch, dtype), requires_grad=True) for array in problem())
    V = nonnegative_lasso(Z, U, 2.0)
    assert isinstance(V, torch.Tensor)
    assert V.dtype == (torch.float64 if dtype == "float64" else torch.float32)
    assert V.device == Z.device
    plain = [array.detach().double().numpy() for array in (Z, U)]
    np.testing.assert_allclose(V.numpy(), nonnegative_lasso(*plain, 2.0), rtol=1e-6, atol=1e-6)
    assert isinstance(kkt_residual(Z, U, V, 2.0), torch.Tensor)


def test_importing_and_using_learners_does_not_import_torch():
    program = (
        "import sys, numpy, vitrail.learners as learners; learners.Simple(1).fit_transform(numpy.eye(2)); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_examples_in_the_documentation_hold():
    assert doctest.testmod(codes).failed == 0
