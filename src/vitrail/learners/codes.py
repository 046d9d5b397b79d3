"""Codes of representations on fixed concepts: the exact non-negative lasso.

For one representation `z` and concepts `U` (one per row) the code is (CoX-LMM, Parekh et al., NeurIPS 2024)

    v(z) = argmin_{v ≥ 0} ‖z − v U‖² + λ‖v‖₁

a convex problem in K unknowns that sees the data through `G = U Uᵀ` and `b = z Uᵀ` alone. A few sweeps of coordinate
descent guess which concepts are active, and block principal pivoting (Kim & Park, SIAM J. Sci. Comput. 2011) finishes:
solve for the active concepts, exchange those that break the optimality conditions, until none does. Every row is solved
by itself in float64, so its code depends neither on a random start nor on the rows that happen to share its batch.

scikit-learn's `Lasso(alpha, positive=True, fit_intercept=False)` halves and averages the first term: on one `z` with
`n_features` entries, `alpha = λ / (2 n_features)` is the same problem.
"""

import numpy as np
from numpy.typing import NDArray

from vitrail.learners.arrays import Array, Floats, row_blocks, to_host

_SWEEPS = 10
_RIDGE = 1e-10  # of unit-norm concepts: makes the code of duplicate concepts unique (they share it)
_FEASIBLE = 1e-10  # slack in the optimality conditions, relative to the row's largest |z·u|
_FULL_EXCHANGES = 3  # without progress, before single exchanges, which cannot cycle in exact arithmetic
_ROUNDS = 500  # of exchanges, before a row that rounding keeps from ending is left to coordinate descent
_LAST_SWEEPS = 1000


def nonnegative_lasso(Z: Array, U: Array, penalty: float) -> Array:
    """Codes `V` (n, K), the exact minimum of `‖z − v U‖² + λ‖v‖₁` over `v ≥ 0` for every row `z` of `Z`.

    `Z` is (n, d), `U` is (K, d), `penalty` is λ ≥ 0, in the units of `Z`. Concepts may have any norm, be zero, repeated
    or more numerous than `d`; where the minimum is not unique, the code is that of least norm.
    Takes numpy arrays or torch tensors and returns the kind, device and dtype of `Z` (at least float32); the answer is
    exact to about 1e-9 of the row before it is rounded to that dtype.

    Raises ValueError for shapes that do not fit, NaN, infinity, or a negative penalty.

    >>> nonnegative_lasso(np.array([[3.0, -1.0]]), np.eye(2), penalty=2.0)  # soft threshold at λ/2
    array([[2., 0.]])
    """
    rows, concepts = _check(Z, U, penalty)
    G = concepts @ concepts.T
    V = np.empty((len(rows), len(concepts)), dtype=rows.dtype)
    for block in row_blocks(len(rows), rows.shape[1]):
        V[block] = codes_from_gram(G, rows[block].astype(np.float64) @ concepts.T, penalty)
    return to_host(Z)[1](V)


def kkt_residual(Z: Array, U: Array, V: Array, penalty: float) -> Array:
    """How far each row of `V` is from optimal, (n,): 0 is exact; relative to the row's `max_k |2 z·u_k| + λ`.

    With the gradient `g = 2 (v U − z) Uᵀ + λ`, the optimality conditions are `g = 0` where `v > 0` and `g ≥ 0` where
    `v = 0`; the residual is the largest violation, and infinite for a negative code. Raises as `nonnegative_lasso`.
    """
    rows, concepts = _check(Z, U, penalty)
    codes = np.asarray(to_host(V)[0], dtype=np.float64)
    if codes.shape != (len(rows), len(concepts)):
        raise ValueError(f"expected codes of shape {(len(rows), len(concepts))}, got {codes.shape}")
    B = rows @ concepts.T
    gradient = 2 * (codes @ (concepts @ concepts.T) - B) + penalty
    violation = np.where(codes > 0, np.abs(gradient), np.maximum(-gradient, 0))
    violation[codes < 0] = np.inf
    scale = 2 * np.abs(B).max(axis=1) + penalty
    return to_host(Z)[1](violation.max(axis=1) / np.where(scale > 0, scale, 1.0))


def codes_from_gram(G: Floats, B: Floats, penalty: float) -> NDArray[np.float64]:
    """Exact codes (n, K) from the Gram matrix `G = U Uᵀ` (K, K) and the projections `B = Z Uᵀ` (n, K) alone."""
    norms = np.sqrt(np.diag(G).astype(np.float64))
    norms[norms == 0] = 1.0
    unit_G = G / np.outer(norms, norms) + _RIDGE * np.eye(len(G))
    C = (B - penalty / 2) / norms
    V = np.empty(C.shape)
    for block in row_blocks(len(C), len(G) ** 2):
        V[block] = _pivot(unit_G, np.ascontiguousarray(C[block])) / norms
    return V


def objective(Z: Array, U: Array, V: Array, penalty: float) -> float:
    """`‖Z − V U‖²_F + λ‖V‖₁`, summed in float64 from the residuals themselves."""
    rows, concepts = _check(Z, U, penalty)
    codes = np.asarray(to_host(V)[0], dtype=np.float64)
    blocks = row_blocks(len(rows), rows.shape[1])
    squares = sum(np.square(rows[block] - codes[block] @ concepts).sum() for block in blocks)
    return float(squares + penalty * np.abs(codes).sum())


def sweep(G: Floats, C: Floats, V: Floats, sweeps: int) -> None:
    """Lowers `v G vᵀ − 2 v·c` over `v ≥ 0` in place, by `sweeps` rounds of exact steps in one coordinate at a time.

    Works on the transposes, `C` and `V` of shape (K, n): every step is one matrix-vector product over all samples.
    """
    for _ in range(sweeps):
        for k in np.flatnonzero(np.diag(G) > 0):
            step = C[k] - G[k] @ V
            step /= G[k, k]
            step += V[k]
            np.maximum(step, 0, out=V[k])


def _check(Z: Array, U: Array, penalty: float) -> tuple[Floats, NDArray[np.float64]]:
    """`Z` as float32 or float64 and `U` as float64, in host memory, once they make sense together."""
    rows, concepts = (np.asarray(to_host(array)[0]) for array in (Z, U))
    if rows.ndim != 2 or concepts.ndim != 2 or rows.shape[1] != concepts.shape[1] or len(concepts) == 0:
        raise ValueError(f"expected Z (n, d) and U (K ≥ 1, d), got shapes {rows.shape} and {concepts.shape}")
    if not (np.isfinite(rows).all() and np.isfinite(concepts).all()):
        raise ValueError("Z and U must be finite, got NaN or infinity")
    if not 0 <= penalty < np.inf:
        raise ValueError(f"the penalty must be a finite number ≥ 0, got {penalty!r}")
    return rows.astype(np.result_type(rows, np.float32), copy=False), concepts.astype(np.float64)


def _pivot(G: Floats, C: Floats) -> NDArray[np.float64]:
    """Minimises `v G vᵀ − 2 v·c` over `v ≥ 0`, per row of `C` (n, K), for a positive definite `G` of unit diagonal."""
    n, K = C.shape
    V = np.zeros((K, n))
    sweep(G, np.ascontiguousarray(C.T), V, _SWEEPS)
    V, free = np.ascontiguousarray(V.T), np.ascontiguousarray(V.T > 0)
    slack = _FEASIBLE * np.abs(C).max(axis=1, keepdims=True)
    fewest = np.full(n, K + 1)
    patience = np.full(n, _FULL_EXCHANGES)
    todo = np.arange(n)
    for _ in range(_ROUNDS):
        if len(todo) == 0:
            break
        V[todo] = _solve(G, C[todo], free[todo])
        gradient = V[todo] @ G - C[todo]
        broken = np.where(free[todo], V[todo], gradient) < -slack[todo]
        count = broken.sum(axis=1)
        better = count < fewest[todo]
        fewest[todo] = np.where(better, count, fewest[todo])
        patience[todo] = np.where(better, _FULL_EXCHANGES, patience[todo] - 1)
        last = K - 1 - broken[:, ::-1].argmax(axis=1)  # Murty's rule: exchange only the last broken one
        single = broken & (np.arange(K) == last[:, None])
        free[todo] ^= np.where(patience[todo, None] >= 0, broken, single)
        todo = todo[count > 0]
    V = np.maximum(V, 0)
    if len(todo):
        rest = V[todo].T.copy()
        sweep(G, C[todo].T.copy(), rest, _LAST_SWEEPS)
        V[todo] = rest.T
    return V


def _solve(G: Floats, C: Floats, free: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Per row, the solution of `v G = c` over its free coordinates, the others held at zero."""
    size = max(1, int(free.sum(axis=1).max()))
    index = np.argsort(~free, axis=1, kind="stable")[:, :size]  # the free ones first, then padding
    used = np.take_along_axis(free, index, axis=1)
    both = used[:, :, None] & used[:, None, :]
    A = np.where(both, G[index[:, :, None], index[:, None, :]], np.eye(size))
    c = np.where(used, np.take_along_axis(C, index, axis=1), 0)
    V = np.zeros(C.shape)
    np.put_along_axis(V, index, np.linalg.solve(A, c[:, :, None])[:, :, 0], axis=1)
    return V
