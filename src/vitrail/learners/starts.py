"""Several starts of Semi-NMF, side by side in a subspace, where they are cheap.

The atoms of an optimum are combinations of the rows of `Z`, and most of the fit lies in the leading directions of these
rows. The best start continues in the full space.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from vitrail.learners.arrays import Array, device, dtype_of, namespace, squares_of, to_host
from vitrail.learners.codes import sweep
from vitrail.learners.descent import Problem, Run, State, Stopping, Sums, descend, times, unit

_ROUNDS = ((50, 3), (120, 1))  # of the starts: after so many iterations, so many of the best continue
_FIRST_WINS = 2e-4  # of the objective: a random start must end lower by this part to replace the first one
_MORE_DIRECTIONS = 48  # so many more directions in the subspace than atoms
_WINDOW = 8  # iterations over which the decrease is averaged to decide whether a descent has converged
_DEPENDENT = 1e-8  # smallest over largest eigenvalue of a Gram matrix below which its inverse root is inexact
_FIRST_SWEEPS = 5  # of codes that start at zero
_WORTH_REVIVING = 1.01  # a residual of norm r gets a code along itself if r > λ/2; this is a margin
_NOISE = 1e-6  # of a sample's square: the residual that float32 leaves of a sample that is fully explained


def best_of_starts(
    Z: Float[Array, "n d"],
    n_atoms: int,
    *,
    penalty: float,
    n_init: int,
    max_iter: int,
    tol: float,
    rng: np.random.RandomState,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Run, State]:
    """The start that ends with the lowest objective, and its state in the full space.

    The first start has the leading directions as atoms, as in scikit-learn, and does not depend on `rng`; the others
    have random samples. Bad starts are given up on the way. A random start replaces the first one only if it ends
    clearly lower: near-equal optima have other concepts, so results would depend on the seed without a gain.

    Args:
        Z: representations.
        n_atoms: K.
        penalty: λ.
        n_init: how many starts there are.
        max_iter: iterations of a start, at most.
        tol: as in `Stopping`.
        rng: draws the samples of all starts but the first.
        tell: is called with the number of iterations that are done, and `max_iter`.

    Returns:
        The run, and its state: atoms (1, K, d) of norm 1, codes (1, K, n).
    """
    xp = namespace(Z)
    basis = leading_directions(Z, n_atoms + _MORE_DIRECTIONS)
    inside = Z if basis is None else Z @ basis.T
    problem = Problem(penalty, squares_of(Z), float(np.finfo(dtype_of(Z)).eps))
    lengths = xp.sum(xp.astype(inside, xp.float64) ** 2, axis=1)
    U = _first_atoms(inside, n_atoms, n_init, rng)
    V = xp.zeros((n_init, n_atoms, len(Z)), dtype=Z.dtype, device=device(Z))
    state = _with_codes(inside, State(U, V), penalty, _FIRST_SWEEPS)
    runs = [Run() for _ in range(n_init)]
    first = runs[0]
    done = 0
    for until, n_left in (*_ROUNDS, (max_iter, 1)):
        until = min(until, max_iter)
        if len(runs) > n_left or until == max_iter:
            if done < until:
                state = descend(
                    runs,
                    state,
                    lambda state: sums_with_codes(inside, state, penalty, 1),
                    problem,
                    Stopping(until - done, tol, _WINDOW),
                    revive=lambda state: revive(inside, lengths, state, penalty),
                )
                done = until
            ranks = [run.objective * (1 - _FIRST_WINS * (run is first)) for run in runs]
            best = sorted(range(len(runs)), key=ranks.__getitem__)[:n_left]
            runs, state = [runs[i] for i in best], state.of(best)
            tell(done, max_iter)
    return runs[0], state if basis is None else State(times(state.U, xp.astype(basis, xp.float64)), state.V)


def sums_with_codes(Z: Float[Array, "n d"], state: State, penalty: float, sweeps: int) -> tuple[Sums, State]:
    """The sums at a state, after `sweeps` sweeps have improved its codes in place."""
    state = _with_codes(Z, state, penalty, sweeps)
    return Sums.of(Z, state.V, state.U), state


def leading_directions(Z: Float[Array, "n d"], rank: int) -> Float[Array, "rank d"] | None:
    """Orthonormal rows that span the leading directions of `Z`; None if they would be as many as its features.

    A range finder (Halko, Martinsson & Tropp, SIAM Review 2011), whose test matrix is made of rows of `Z`. The same
    rows are drawn in every call, so that the first start is the same for every seed.
    """
    n, d = Z.shape
    rank = min(rank, n)
    if d <= rank:
        return None
    Q = _orthonormal(Z[np.sort(np.random.RandomState(0).choice(n, rank, replace=False))])
    return _orthonormal(_orthonormal(Q @ Z.T) @ Z)


def revive(Z: Float[Array, "n d"], lengths: Float[Array, " n"], state: State, penalty: float) -> int:
    """Gives unused atoms the directions of the worst residuals, in place; returns how many atoms.

    The codes of an unused atom are zero, so this does not change the objective. A residual must be large enough for a
    code that is not zero. `lengths` are the squared norms of the samples.
    """
    xp = namespace(Z)
    U, V = state
    assert V is not None
    unused = to_host(xp.nonzero(~xp.any(V > 0, axis=1))[0])[0]
    if len(unused) == 0:
        return 0
    left = xp.sum((xp.astype(Z, xp.float64) - xp.astype(V, xp.float64).T @ U) ** 2, axis=1)
    worth = xp.maximum(xp.full_like(lengths, (_WORTH_REVIVING * penalty / 2) ** 2), _NOISE * lengths)
    worst = xp.argsort(-left, stable=True)[: len(unused)]
    worst = worst[left[worst] > worth[worst]]
    unused = unused[: len(worst)]
    if len(unused):
        residuals = xp.astype(Z[worst], xp.float64) - xp.astype(V[:, worst], xp.float64).T @ U
        U[unused] = unit(residuals, None).U
    return len(unused)


def _first_atoms(
    Z: Float[Array, "n d"], n_atoms: int, n_init: int, rng: np.random.RandomState
) -> Float[Array, "n_init k d"]:
    """The atoms of every start, of norm 1: the principal directions of `Z` for the first, random samples for others."""
    xp = namespace(Z)
    n = len(Z)
    _, directions = xp.linalg.eigh(xp.astype(Z.T @ Z, xp.float64))
    leading = xp.flip(directions.T, axis=0)[:n_atoms]
    along = xp.astype(Z, xp.float64) @ leading.T
    leading = (
        leading * xp.where(xp.sum(along * xp.abs(along), axis=0) < 0, -1.0, 1.0)[:, None]
    )  # the sign towards which more points
    drawn = [np.sort(rng.choice(n, n_atoms, replace=False)) for _ in range(n_init)]
    first = xp.concat([leading, xp.astype(Z[drawn[0]], xp.float64)])[:n_atoms]
    return unit(xp.stack([first, *(xp.astype(Z[rows], xp.float64) for rows in drawn[1:])]), None).U


def _with_codes(Z: Float[Array, "n d"], state: State, penalty: float, sweeps: int) -> State:
    """The state, after `sweeps` sweeps have improved its codes in place."""
    xp = namespace(Z)
    U = xp.astype(state.U, Z.dtype, copy=False)
    sweep(U @ xp.matrix_transpose(U), times(U, Z.T) - penalty / 2, state.V, sweeps)
    return state


def _orthonormal(Y: Float[Array, "r n"]) -> Float[Array, "r n"]:
    """Orthonormal rows that span the rows of `Y`.

    The Gram matrix gives them, several times faster than reflections and as exactly as float32 allows. Where the rows
    are nearly dependent it does not, and reflections (QR) do.
    """
    xp = namespace(Y)
    wide = xp.astype(Y, xp.float64)
    squares, turns = xp.linalg.eigh(wide @ wide.T)
    if float(squares[0]) > _DEPENDENT * float(squares[-1]):
        return xp.astype((turns / xp.sqrt(squares)).T @ wide, Y.dtype)
    return xp.linalg.qr(Y.T).Q.T
