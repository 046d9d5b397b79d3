"""The descent of Semi-NMF: what it needs of the data, how an atom moves, and how it gathers speed.

The data enter through sums over samples alone: with the codes `V` (n, K) of the present atoms `U` (K, d), `VᵀV` (K, K),
`VᵀZ` (K, d) and the mass `‖v_k‖₁` of every concept. They add up over any division of the samples, so that one descent
serves representations in memory, on disk, and on many machines.

Atoms. Scaling an atom up and its codes down changes nothing in `V U`, so the problem is that of `‖Z − V U‖² +
λ Σ_k ‖v_k‖₁ ‖u_k‖` without a constraint. As `2‖u‖ ≤ ‖u‖²/c + c`, with equality at `‖u‖ = c`, unit atoms are improved
jointly by one K × K system, `(VᵀV + λ/2 diag ‖v_k‖₁) U = VᵀZ`, and are then brought back to norm 1.

Speed. Alternating exact steps crawl along curved valleys. Extrapolation (Ang & Gillis, Neural Computation 2019) goes on
in the direction of the last step, further each time it pays; a step that raises the objective is taken back.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from vitrail.learners.arrays import Array, beside, device, namespace

_CANCELLATION = 4  # how much larger the parts of `‖V U‖²` may be than their sum, before float32 will not do
_ROUNDING = 8  # units in the last place of `‖Z‖²` that sums may be off
_GROWTH, _RECOVERY, _RETREAT, _FIRST = 1.05, 1.01, 1.5, 0.5  # of the extrapolation's weight


@dataclass(frozen=True)
class Sums:
    """What one pass over samples leaves: `VᵀV` (K, K), `VᵀZ` (K, d), `‖v_k‖₁` (K,), all in float64."""

    VV: Array
    VZ: Array
    mass: Array

    @classmethod
    def of(cls, Z: Array, V: Array, U: Array) -> "Sums":
        """Of `Z` (n, d), atoms `U` (K, d) and their codes `V` (K, n).

        The products are in the precision of `Z`, or in float64 where atoms cancel each other in `V U`, and what is left
        would be lost in rounding.
        """
        xp = namespace(Z)
        VV = xp.astype(V @ V.T, xp.float64)
        parts = VV * (U @ U.T)
        if float(xp.sum(xp.abs(parts))) > _CANCELLATION * float(xp.sum(parts)):
            V, Z = xp.astype(V, xp.float64, copy=False), xp.astype(Z, xp.float64, copy=False)
            VV = V @ V.T
        return cls(VV, xp.astype(V @ Z, xp.float64), xp.sum(V, axis=1, dtype=xp.float64))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.VV + other.VV, self.VZ + other.VZ, self.mass + other.mass)

    def objective(self, U: Array, penalty: float, squares: float) -> float:
        """`‖Z − V U‖² + λ‖V‖₁`, where `squares` is `‖Z‖²`."""
        xp = namespace(U)
        fit = xp.sum(self.VV * (U @ U.T)) - 2 * xp.sum(self.VZ * U)
        return max(0.0, squares + float(fit + penalty * xp.sum(self.mass)))

    def better_atoms(self, U: Array, penalty: float, precision: float) -> Array:
        """Atoms (K, d) of any norm that lower the objective; those without codes stay.

        A pull towards the old atoms, `precision` of the largest entry, keeps the system regular.
        """
        xp = namespace(U)
        diagonal = xp.linalg.diagonal(self.VV)
        pull = precision * float(xp.max(diagonal)) or 1.0
        eye = xp.eye(len(U), dtype=U.dtype, device=device(U))
        system = self.VV + eye * (pull + penalty / 2 * self.mass)
        return xp.linalg.solve(system, self.VZ + pull * U)


class State(NamedTuple):
    """Unit atoms `U` (K, d) in float64, and their codes `V` (K, n) where these are kept from step to step."""

    U: Array
    V: Array | None


@dataclass
class Run:
    """A descent: where it stands, the objective of every step that was kept, and how it ended."""

    state: State
    objectives: list[float] = field(default_factory=list)
    n_revived: int = 0
    converged: bool = False

    @property
    def objective(self) -> float:
        return self.objectives[-1]

    @property
    def rate(self) -> float:
        """By which share of itself the objective fell in the last iteration."""
        return (self.objectives[-2] - self.objective) / self.objective if len(self.objectives) > 1 else math.inf


def descend(
    run: Run,
    evaluate: Callable[[State], tuple[Sums, State]],
    *,
    penalty: float,
    squares: float,
    precision: float,
    max_iter: int,
    tol: float,
    window: int,
    revive: Callable[[State], int] = lambda state: 0,
    tell: Callable[[int], None] = lambda iteration: None,
) -> Run:
    """Goes on with `run` for at most `max_iter` iterations, or until they lower the objective by less than `tol` of it.

    Args:
        evaluate: the sums at a state, and the state with codes for its atoms.
        squares: `‖Z‖²`.
        precision: of the numbers behind the sums; what they lose by it, relative to `squares`, is not taken for a rise.
        window: over how many iterations `tol` is a mean: one alone may stand still and gather speed.
        revive: turns unused atoms elsewhere, in place; how many.
    """
    noise = precision * squares
    lowest = min(run.objectives, default=math.inf)
    state = kept = run.state
    before: State | None = None
    weight, ceiling = _FIRST, 1.0
    since = len(run.objectives)
    run.converged = False
    for iteration in range(max_iter):
        sums, state = evaluate(state)
        value = sums.objective(state.U, penalty, squares)
        if value > lowest + _ROUNDING * noise:
            if before is None:  # a plain step, which cannot go up but by rounding
                run.converged = True
                break
            state, before = kept, None
            weight, ceiling = weight / _RETREAT, weight
            continue
        run.objectives.append(value)
        lowest = min(lowest, value)
        tell(iteration + 1)
        kept = unit(sums.better_atoms(state.U, penalty, precision), state.V)
        revived = revive(kept)
        if revived:
            run.n_revived += revived
            since = len(run.objectives) - 1
        run.state = kept
        recent = run.objectives[since:][-window - 1 :]
        if len(recent) > window and recent[0] - value <= max(window * tol * value, noise):
            run.converged = True
            break
        state = _beyond(kept, before, weight) if before is not None and not revived else kept
        before = kept
        weight, ceiling = min(ceiling, _GROWTH * weight), min(1.0, _RECOVERY * ceiling)
    return run


def _beyond(now: State, before: State, weight: float) -> State:
    """The state further along the way from `before` to `now`."""
    U = unit(now.U + weight * (now.U - before.U), None).U
    if now.V is None or before.V is None:
        return State(U, None)
    xp = namespace(now.V)
    V = now.V - before.V
    V *= weight
    V += now.V
    return State(U, xp.maximum(V, xp.zeros_like(V[:1, :1])))


def unit(U: Array, V: Array | None) -> State:
    """Atoms of norm 1, and codes that make up for it; atoms of zero stay."""
    xp = namespace(U)
    norms = xp.linalg.vector_norm(U, axis=1)
    norms = xp.where(norms > 0, norms, xp.ones_like(norms))
    return State(U / norms[:, None], None if V is None else V * beside(norms, V, V.dtype)[:, None])
