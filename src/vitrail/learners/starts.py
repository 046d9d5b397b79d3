"""Several starts of Semi-NMF in a subspace, side by side, where they cost next to nothing.

The atoms of an optimum are combinations of the rows of `Z`, and most of the fit lies in the leading directions of
these. The best start is what goes on in the full space.
"""

from collections.abc import Callable

import numpy as np

from vitrail.learners.arrays import Array, device, dtype_of, namespace, to_host
from vitrail.learners.codes import sweep
from vitrail.learners.descent import Run, State, Sums, descend, times, unit

_ROUNDS = ((50, 3), (120, 1))  # of the starts: iterations, and how many of the best go on after so many
_MORE_DIRECTIONS = 48  # of the subspace than there are atoms
_WINDOW = 8  # iterations that have to agree that a descent is over
_DEPENDENT = 1e-8  # least over largest eigenvalue of a Gram matrix, below which its inverse root is not trusted
_FIRST_SWEEPS = 5  # of codes that begin at zero
_WORTH_REVIVING = 1.01  # a residual of norm r makes a code along itself when r > λ/2; with some margin
_NOISE = 1e-6  # of a sample's square: what float32 products may leave of a sample that is fully explained


def best_of_starts(
    Z: Array,
    n_atoms: int,
    *,
    penalty: float,
    n_init: int,
    max_iter: int,
    tol: float,
    rng: np.random.RandomState,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Run, State]:
    """The run with the lowest objective, and where it ended, in the full space again: unit atoms (1, n_atoms, d), codes
    (1, n_atoms, n).

    The first start is the leading directions themselves, as in scikit-learn; the others are random samples. Not all run
    to the end: on the way the worse ones are given up.
    """
    xp = namespace(Z)
    basis = leading_directions(Z, n_atoms + _MORE_DIRECTIONS, rng)
    inside = Z if basis is None else Z @ basis.T
    squares = squares_of(Z)
    lengths = xp.sum(xp.astype(inside, xp.float64) ** 2, axis=1)
    U = _first_atoms(inside, n_atoms, n_init, rng)
    V = xp.zeros((n_init, n_atoms, len(Z)), dtype=Z.dtype, device=device(Z))
    state = _with_codes(inside, State(U, V), penalty, _FIRST_SWEEPS)
    runs = [Run() for _ in range(n_init)]
    done = 0
    for until, n_left in (*_ROUNDS, (max_iter, 1)):
        until = min(until, max_iter)
        if len(runs) > n_left or until == max_iter:
            if done < until:
                state = descend(
                    runs,
                    state,
                    lambda state: sums_with_codes(inside, state, penalty, 1),
                    penalty=penalty,
                    squares=squares,
                    precision=float(np.finfo(dtype_of(Z)).eps),
                    max_iter=until - done,
                    tol=tol,
                    window=_WINDOW,
                    revive=lambda state: revive(inside, lengths, state, penalty),
                )
                done = until
            best = sorted(range(len(runs)), key=lambda i: runs[i].objective)[:n_left]
            runs, state = [runs[i] for i in best], state.of(best)
            tell(done, max_iter)
    return runs[0], state if basis is None else State(times(state.U, xp.astype(basis, xp.float64)), state.V)


def sums_with_codes(Z: Array, state: State, penalty: float, sweeps: int) -> tuple[Sums, State]:
    """The sums at a state whose codes are first improved, in place, by so many sweeps."""
    state = _with_codes(Z, state, penalty, sweeps)
    return Sums.of(Z, state.V, state.U), state


def leading_directions(Z: Array, rank: int, rng: np.random.RandomState) -> Array | None:
    """Orthonormal rows (rank, d) that span most of what `Z` (n, d) varies in, or None where they would save nothing.

    A randomized range finder (Halko, Martinsson & Tropp, SIAM Review 2011), with rows of `Z` for a test matrix.
    """
    n, d = Z.shape
    rank = min(rank, n)
    if d <= rank:
        return None
    Q = _orthonormal(Z[np.sort(rng.choice(n, rank, replace=False))])
    return _orthonormal(_orthonormal(Q @ Z.T) @ Z)


def revive(Z: Array, lengths: Array, state: State, penalty: float) -> int:
    """Turns unused atoms towards the samples that are explained worst, in place; how many found one that is worth it.

    The codes of an unused atom are zero, so this leaves the objective as it is. `lengths` (n,): the samples' squares.
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


def squares_of(Z: Array) -> float:
    """`‖Z‖²`: each row in its own precision, the rows together in float64."""
    xp = namespace(Z)
    return float(xp.sum(xp.vecdot(Z, Z), dtype=xp.float64))


def _first_atoms(Z: Array, n_atoms: int, n_init: int, rng: np.random.RandomState) -> Array:
    """Unit atoms (n_init, n_atoms, d), of every start: the principal directions of `Z`, then samples at random."""
    xp = namespace(Z)
    n = len(Z)
    _, directions = xp.linalg.eigh(xp.astype(Z.T @ Z, xp.float64))
    leading = xp.flip(directions.T, axis=0)[:n_atoms]
    along = xp.astype(Z, xp.float64) @ leading.T
    leading = leading * xp.where(xp.sum(along * xp.abs(along), axis=0) < 0, -1.0, 1.0)[:, None]  # where more points to
    drawn = [np.sort(rng.choice(n, n_atoms, replace=False)) for _ in range(n_init)]
    first = xp.concat([leading, xp.astype(Z[drawn[0]], xp.float64)])[:n_atoms]
    return unit(xp.stack([first, *(xp.astype(Z[rows], xp.float64) for rows in drawn[1:])]), None).U


def _with_codes(Z: Array, state: State, penalty: float, sweeps: int) -> State:
    """The state after `sweeps` of its codes, in place."""
    xp = namespace(Z)
    U = xp.astype(state.U, Z.dtype, copy=False)
    sweep(U @ xp.matrix_transpose(U), times(U, Z.T) - penalty / 2, state.V, sweeps)
    return state


def _orthonormal(Y: Array) -> Array:
    """Orthonormal rows that span the rows of `Y` (r, n).

    By its Gram matrix, a few times as fast as by reflections, and as exact as float32 where the rows are not nearly
    dependent; where they are, by reflections.
    """
    xp = namespace(Y)
    wide = xp.astype(Y, xp.float64)
    squares, turns = xp.linalg.eigh(wide @ wide.T)
    if float(squares[0]) > _DEPENDENT * float(squares[-1]):
        return xp.astype((turns / xp.sqrt(squares)).T @ wide, Y.dtype)
    return xp.linalg.qr(Y.T).Q.T
