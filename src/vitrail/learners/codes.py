"""Codes of representations on fixed concepts: the exact non-negative lasso.

For one representation `z` and concepts `U` (one per row) the code is (CoX-LMM, Parekh et al., NeurIPS 2024)

    v(z) = argmin_{v ≥ 0} ‖z − v U‖² + λ‖v‖₁

a convex problem in K unknowns, in which the data appear only as `G = U Uᵀ` and `b = z Uᵀ`. Two steps solve it. First,
approximate codes in float32 (see `settle`) show which concepts are probably active. Then block principal pivoting (Kim
& Park, SIAM J. Sci. Comput. 2011) repeats in float64: solve for the active concepts, and exchange those that violate
the optimality conditions, until none does. Every row is solved by itself, so its code depends neither on a random start
nor on the other rows of its batch.

scikit-learn's `Lasso(alpha, positive=True, fit_intercept=False)` halves and averages the first term: on one `z` with
`n_features` entries, `alpha = λ / (2 n_features)` is the same problem.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Bool, Float, Num

from vitrail.learners.arrays import (
    Array,
    beside,
    contiguous,
    device,
    dtype_of,
    finite,
    floats,
    in_place,
    namespace,
    row_blocks,
)

_RIDGE = 1e-10  # added to the Gram matrix of unit-norm concepts: makes the code of duplicates unique (they share it)
_FEASIBLE = 1e-10  # tolerance of the optimality conditions, relative to the row's largest |z·u|
_FULL_EXCHANGES = 3  # rounds without progress, before single exchanges, which cannot cycle in exact arithmetic
_ROUNDS = 500  # of exchanges; coordinate descent finishes a row that does not end by then, because of rounding
_LAST_SWEEPS = 1000
_REFINEMENTS, _REFINED = 20, 1e-8  # at most so many, until the error is below this part of the row's largest |z·u|
_STIFFNESS, _RELAXATION, _MOST_STEPS, _LOOK = 0.2, 1.8, 100, 4  # of `settle`; it tests for the end every _LOOK steps


def nonnegative_lasso(Z: Num[Array, "n d"], U: Num[Array, "k d"], penalty: float) -> Float[Array, "n k"]:
    """The codes `V`: for every row `z` of `Z` the exact minimum of `‖z − v U‖² + λ‖v‖₁` over `v ≥ 0`.

    Where the minimum is not unique, the code is the one of least norm.

    Args:
        Z: representations, a numpy array or a torch tensor.
        U: concepts. They may have any norm, be zero, repeated, or more numerous than `d`.
        penalty: λ ≥ 0, in the units of `Z`.

    Returns:
        An array of the kind, device and dtype of `Z` (at least float32). Before it is rounded to that dtype, it is
        exact to about 1e-9 relative to the row.

    Raises:
        ValueError: shapes do not match, a number is NaN or infinite, or the penalty is negative.

    >>> nonnegative_lasso(np.array([[3.0, -1.0]]), np.eye(2), penalty=2.0)  # soft threshold at λ/2
    array([[2., 0.]])
    """
    rows, restore = in_place(Z)
    rows, concepts = _check(rows, U, penalty)
    V = codes_from_gram(concepts @ concepts.T, projections(rows, concepts), penalty)
    return restore(namespace(rows).astype(V, rows.dtype, copy=False))


def code_derivatives(U: Num[np.ndarray, "k d"], V: Num[np.ndarray, "n k"]) -> Float[np.ndarray, "n k d"]:
    """`∂v_k/∂z` of exact codes `V`, in float64: how a code changes with its representation.

    On the active set `A` of a row (its codes above 0) the code is `v_A = (U_A U_Aᵀ)⁻¹ (U_A z − λ/2)`. So its derivative
    is `(U_A U_Aᵀ)⁻¹ U_A`, exactly, as long as the set stays the same. A code of 0 stays 0 near `z`: it has none.
    """
    U = U.astype(np.float64)
    found = np.zeros((len(V), *U.shape))
    for row, active in zip(found, V > 0, strict=True):
        if active.any():
            row[active] = np.linalg.pinv(U[active], rcond=_RIDGE).T
    return found


def projections(Z: Num[Array, "n d"], U: Float[Array, "k d"]) -> Float[Array, "n k"]:
    """`Z Uᵀ` in float64, for `U` in float64, computed in blocks so that `Z` is never copied whole to float64."""
    xp = namespace(Z)
    B = xp.empty((len(Z), len(U)), dtype=xp.float64, device=device(Z))
    for block in row_blocks(len(Z), 16 * Z.shape[1]):
        B[block] = xp.astype(Z[block], xp.float64, copy=False) @ U.T
    return B


def kkt_residual(
    Z: Num[Array, "n d"], U: Num[Array, "k d"], V: Num[Array, "m j"], penalty: float
) -> Float[Array, " n"]:
    """How far each row of `V` is from the optimal code, relative to the row's `max_k |2 z·u_k| + λ`; 0 is exact.

    With the gradient `g = 2 (v U − z) Uᵀ + λ`, the optimality conditions are `g = 0` where `v > 0`, and `g ≥ 0` where
    `v = 0`. The residual is the largest violation, and infinite for a negative code.

    Raises:
        ValueError: as `nonnegative_lasso`, and for codes `V` of another shape than (n, k).
    """
    rows, restore = in_place(Z)
    rows, concepts = _check(rows, U, penalty)
    xp = namespace(rows)
    codes = beside(V, rows, xp.float64)
    if tuple(codes.shape) != (len(rows), len(concepts)):
        raise ValueError(f"expected codes of shape {(len(rows), len(concepts))}, got {tuple(codes.shape)}")
    B = projections(rows, concepts)
    gradient = 2 * (codes @ (concepts @ concepts.T) - B) + penalty
    violation = xp.where(codes > 0, xp.abs(gradient), xp.maximum(-gradient, xp.zeros_like(gradient)))
    violation[codes < 0] = math.inf
    scale = 2 * xp.max(xp.abs(B), axis=1) + penalty
    return restore(xp.max(violation, axis=1) / xp.where(scale > 0, scale, xp.ones_like(scale)))


def codes_from_gram(G: Float[Array, "k k"], B: Float[Array, "n k"], penalty: float) -> Float[Array, "n k"]:
    """The exact codes, from the Gram matrix `G = U Uᵀ` and the projections `B = Z Uᵀ` alone, in float64."""
    xp = namespace(B)
    norms = xp.sqrt(xp.linalg.diagonal(xp.astype(G, xp.float64)))
    norms = xp.where(norms == 0, xp.ones_like(norms), norms)
    unit_G = G / (norms[:, None] * norms) + _RIDGE * xp.eye(len(G), dtype=xp.float64, device=device(B))
    C = (B - penalty / 2) / norms
    V = xp.empty_like(C)
    for block in row_blocks(len(C), len(G) ** 2):
        V[block] = _refined(unit_G, C[block], _pivot(unit_G, C[block])) / norms
    return V


def objective(Z: Num[Array, "n d"], U: Num[Array, "k d"], V: Num[Array, "n k"], penalty: float) -> float:
    """`‖Z − V U‖²_F + λ‖V‖₁`, computed from the residuals and summed in float64.

    Raises:
        ValueError: as `nonnegative_lasso`.
    """
    rows, concepts = _check(in_place(Z)[0], U, penalty)
    xp = namespace(rows)
    codes = beside(V, rows, xp.float64)
    squares = 0.0
    for block in row_blocks(len(rows), 16 * rows.shape[1]):
        squares += float(xp.sum((rows[block] - codes[block] @ concepts) ** 2))
    return squares + penalty * float(xp.sum(xp.abs(codes)))


def settled_codes(Z: Float[Array, "n d"], U: Float[Array, "k d"], penalty: float) -> Float[Array, "k n"]:
    """Nearly exact codes on atoms of norm 1, transposed, in the precision of `Z`: as a pass of learning needs them."""
    xp = namespace(Z)
    U = xp.astype(U, Z.dtype, copy=False)
    G, C = U @ U.T, U @ Z.T - penalty / 2
    V = settle(G, C)
    sweep(G, C, V, 2)
    return V


def settle(G: Float[Array, "k k"], C: Float[Array, "k n"]) -> Float[Array, "k n"]:
    """For each column `c` of `C`, the `v ≥ 0` that nearly minimises `v G vᵀ − 2 v·c`; `G` has a unit diagonal.

    The alternating direction method of multipliers (Boyd et al. 2011, with over-relaxation), from zero, until the codes
    change by less than √ε of the precision of `C`. It solves with the Gram matrix, so similar atoms do not slow it down
    as they slow coordinate descent. One array `y` holds the code and the multiplier: `v = max(y, 0)`,
    `dual = min(y, 0)`, and `v − dual = |y|`.
    """
    xp = namespace(C)
    eye = xp.eye(len(G), dtype=xp.float64, device=device(C))
    inverse = _RELAXATION * xp.linalg.inv(xp.astype(G, xp.float64) + _STIFFNESS * eye)
    pull, goal = xp.astype(_STIFFNESS * inverse, C.dtype), xp.astype(inverse, C.dtype) @ C
    settled = float(np.finfo(dtype_of(C)).eps) ** 0.5
    y, zero = xp.asarray(goal, copy=True), xp.zeros_like(C[:1, :1])
    size, step = xp.empty_like(y), xp.empty_like(y)
    for number in range(1, _MOST_STEPS + 1):
        before = None if number % _LOOK else xp.maximum(y, zero)
        xp.abs(y, out=size)
        xp.multiply(y, 1 - _RELAXATION, out=step)
        xp.minimum(y, step, out=y)
        xp.matmul(pull, size, out=step)
        y += step
        y += goal
        if before is not None:
            V = xp.maximum(y, zero)
            if bool(xp.linalg.vector_norm(V - before) <= settled * xp.linalg.vector_norm(V)):
                return V
    return xp.maximum(y, zero)


def sweep(G: Float[Array, "*s k k"], C: Float[Array, "*s k n"], V: Float[Array, "*s k n"], sweeps: int) -> None:
    """Changes `V` in place so that `v G vᵀ − 2 v·c` over `v ≥ 0` falls, by `sweeps` rounds of coordinate descent.

    A round minimises exactly over one coordinate after another. Codes are columns, so that each step is one
    matrix-vector product for all samples. A coordinate whose diagonal entry in `G` is zero does not change.
    """
    xp = namespace(V)
    K = V.shape[-2]
    diagonal = xp.linalg.diagonal(G)[..., None]
    live = diagonal > 0
    scale = xp.where(live, 1 / xp.where(live, diagonal, xp.ones_like(diagonal)), xp.zeros_like(diagonal))
    itself = xp.eye(K, dtype=xp.bool, device=device(V))
    others = xp.where(itself, xp.where(live, xp.zeros_like(scale), -xp.ones_like(scale)), G * scale)
    others, steps = xp.astype(others, V.dtype), xp.astype(C * scale, V.dtype, copy=False)
    step, zero = xp.empty_like(V[..., :1, :]), xp.zeros_like(V[..., :1, :1])
    coordinates = [(others[..., k : k + 1, :], steps[..., k : k + 1, :], V[..., k : k + 1, :]) for k in range(K)]
    for _ in range(sweeps):
        for weights, goal, code in coordinates:
            xp.matmul(weights, V, out=step)
            xp.subtract(goal, step, out=step)
            xp.maximum(step, zero, out=code)


def _check(Z: Num[Array, "n d"], U: Num[Array, "k e"], penalty: float) -> tuple[Array, Array]:
    """`Z` in float32 or float64, and `U` in float64 on the device of `Z`, after checks that they match."""
    rows, concepts = floats(Z), floats(U)
    if rows.ndim != 2 or concepts.ndim != 2 or rows.shape[1] != concepts.shape[1] or len(concepts) == 0:
        shapes = f"{tuple(rows.shape)} and {tuple(concepts.shape)}"
        raise ValueError(f"expected Z (n, d) and U (K ≥ 1, d), got shapes {shapes}")
    if not (finite(rows) and finite(concepts)):
        raise ValueError("Z and U must be finite, got NaN or infinity")
    if not 0 <= penalty < np.inf:
        raise ValueError(f"the penalty must be a finite number ≥ 0, got {penalty!r}")
    return rows, beside(concepts, rows, namespace(rows).float64)


def _pivot(G: Float[Array, "k k"], C: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """For each row `c` of `C`, the `v ≥ 0` of least `v G vᵀ − 2 v·c`; `G` is positive definite, of unit diagonal."""
    xp = namespace(C)
    n, K = C.shape
    scale = xp.max(xp.abs(C), axis=1, keepdims=True)
    relative = contiguous(xp.astype(C / xp.where(scale > 0, scale, xp.ones_like(scale)), xp.float32).T)
    free = contiguous(settle(xp.astype(G, xp.float32), relative).T) > 0
    V, slack = xp.zeros_like(C), _FEASIBLE * scale
    fewest = xp.full((n,), K + 1, device=device(C))
    patience = xp.full((n,), _FULL_EXCHANGES, device=device(C))
    todo = xp.arange(n, device=device(C))
    columns = xp.arange(K, device=device(C))
    for _ in range(_ROUNDS):
        if len(todo) == 0:
            break
        V[todo] = _solve(G, C[todo], free[todo])
        gradient = V[todo] @ G - C[todo]
        broken = xp.where(free[todo], V[todo], gradient) < -slack[todo]
        count = xp.sum(xp.astype(broken, fewest.dtype), axis=1)
        better = count < fewest[todo]
        fewest[todo] = xp.where(better, count, fewest[todo])
        patience[todo] = xp.where(better, xp.full_like(count, _FULL_EXCHANGES), patience[todo] - 1)
        last = xp.max(xp.where(broken, columns, -xp.ones_like(columns)), axis=1)
        single = columns == last[:, None]  # Murty's rule: exchange only the last broken one
        exchanged = broken & (single | (patience[todo] >= 0)[:, None])
        free[todo] = free[todo] ^ exchanged
        todo = todo[count > 0]
    V = xp.maximum(V, xp.zeros_like(V[:1]))
    if len(todo):
        rest = contiguous(V[todo].T)
        sweep(G, contiguous(C[todo].T), rest, _LAST_SWEEPS)
        V[todo] = rest.T
    return V


def _refined(G: Float[Array, "k k"], C: Float[Array, "n k"], V: Float[Array, "n k"]) -> Float[Array, "n k"]:
    """The codes `V` without the error that the ridge in `G` causes; it is large where concepts nearly cancel out."""
    xp = namespace(C)
    scale = xp.max(xp.abs(C), axis=1)
    for _ in range(_REFINEMENTS):
        left = xp.where(V > 0, C - V @ G + _RIDGE * V, xp.zeros_like(C))
        poor = xp.nonzero(xp.max(xp.abs(left), axis=1) > _REFINED * scale)[0]
        if len(poor) == 0:
            break
        step = _solve(G, left[poor], V[poor] > 0)
        V[poor] = xp.maximum(V[poor] + step, xp.zeros_like(V[:1]))
    return V


def _solve(G: Float[Array, "k k"], C: Float[Array, "n k"], free: Bool[Array, "n k"]) -> Float[Array, "n k"]:
    """For each row, the solution of `v G = c` over its free coordinates, with zeros in the others."""
    xp = namespace(C)
    size = max(1, int(xp.max(xp.sum(xp.astype(free, xp.int64), axis=1))))
    order = xp.argsort(xp.astype(~free, xp.int8), axis=1, stable=True)  # the free ones first, then padding
    index = order[:, :size]
    used = xp.take_along_axis(free, index, axis=1)
    both = used[:, :, None] & used[:, None, :]
    A = xp.where(both, G[index[:, :, None], index[:, None, :]], xp.eye(size, dtype=C.dtype, device=device(C)))
    c = xp.where(used, xp.take_along_axis(C, index, axis=1), xp.zeros_like(C[:1, :1]))
    V = xp.zeros_like(C)
    V[:, :size] = xp.linalg.solve(A, c[:, :, None])[:, :, 0]
    return xp.take_along_axis(V, xp.argsort(order, axis=1), axis=1)
