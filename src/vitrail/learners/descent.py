"""The descent of Semi-NMF: the sums that it needs of the data, the step of the atoms, and extrapolation.

Data. They enter only as sums over samples: with the codes `V` (n, K) of the current atoms `U` (K, d), these are `VᵀV`
(K, K), `VᵀZ` (K, d) and the mass `‖v_k‖₁` of every concept. Sums over parts of the samples add up, so one descent
serves representations in memory, on disk, and on many machines.

Atoms. `V U` does not change when an atom is scaled up and its codes are scaled down. So the problem is to minimise
`‖Z − V U‖² + λ Σ_k ‖v_k‖₁ ‖u_k‖` without a constraint. As `2‖u‖ ≤ ‖u‖²/c + c`, with equality at `‖u‖ = c`, one K × K
system improves all unit atoms together, `(VᵀV + λ/2 diag ‖v_k‖₁) U = VᵀZ`; then they are scaled back to norm 1.

Extrapolation. Alternating exact steps are slow in curved valleys. So each step is extended in its own direction (Ang &
Gillis, Neural Computation 2019), further each time that this succeeds. A step that raises the objective is undone.

Several descents run side by side, along the first axis of every array: one call then does the work of all, which is
faster where arrays are small. Each extrapolates and undoes steps by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from jaxtyping import Float

from vitrail.learners.arrays import Array, beside, device, namespace

_CANCELLATION = 4  # float64 is used where the parts of `‖V U‖²` are so many times larger than their sum
_ROUNDING = 8  # error of sums by rounding, in units in the last place of `‖Z‖²`
_GROWTH, _RECOVERY, _RETREAT, _FIRST = 1.05, 1.01, 1.5, 0.5  # factors of the extrapolation's weight, its first value


@dataclass(frozen=True)
class Sums:
    """The sums of one pass over samples, in float64: `VᵀV`, `VᵀZ`, and the mass `‖v_k‖₁` of every concept."""

    VV: Float[Array, "*s k k"]
    VZ: Float[Array, "*s k d"]
    mass: Float[Array, "*s k"]

    @classmethod
    def of(cls, Z: Float[Array, "n d"], V: Float[Array, "*s k n"], U: Float[Array, "*s k d"]) -> Sums:
        """The sums over the rows of `Z`, for atoms `U` and their codes `V`.

        Products are in the precision of `Z`; in float64 where atoms cancel each other in `V U`, so that rounding would
        destroy the difference.
        """
        xp = namespace(Z)
        VV = xp.astype(V @ xp.matrix_transpose(V), xp.float64)
        parts = VV * (U @ xp.matrix_transpose(U))
        sizes, sums = xp.sum(xp.abs(parts), axis=(-2, -1)), xp.sum(parts, axis=(-2, -1))
        if bool(xp.any(sizes > _CANCELLATION * sums)):
            V, Z = xp.astype(V, xp.float64, copy=False), xp.astype(Z, xp.float64, copy=False)
            VV = V @ xp.matrix_transpose(V)
        return cls(VV, xp.astype(times(V, Z), xp.float64), xp.sum(V, axis=-1, dtype=xp.float64))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.VV + other.VV, self.VZ + other.VZ, self.mass + other.mass)

    def as_one(self) -> Sums:
        """The sums with a first axis of length 1, as those of the only one of several descents."""
        return Sums(self.VV[None], self.VZ[None], self.mass[None])

    def objectives(self, U: Float[Array, "s k d"], penalty: float, squares: float) -> list[float]:
        """`‖Z − V U‖² + λ‖V‖₁` of each descent, where `squares` is `‖Z‖²`."""
        xp = namespace(U)
        fit = xp.sum(self.VV * (U @ xp.matrix_transpose(U)), axis=(-2, -1)) - 2 * xp.sum(self.VZ * U, axis=(-2, -1))
        return [max(0.0, squares + found) for found in (fit + penalty * xp.sum(self.mass, axis=-1)).tolist()]

    def better_atoms(self, U: Float[Array, "*s k d"], penalty: float, precision: float) -> Float[Array, "*s k d"]:
        """Atoms of any norm that lower the objective; atoms without codes do not change.

        A term that pulls towards the old atoms, `precision` times the largest entry, keeps the system regular.
        """
        xp = namespace(U)
        largest = xp.max(xp.linalg.diagonal(self.VV), axis=-1)[..., None, None]
        pull = xp.where(largest > 0, precision * largest, xp.ones_like(largest))
        eye = xp.eye(U.shape[-2], dtype=U.dtype, device=device(U))
        system = self.VV + eye * (pull + penalty / 2 * self.mass[..., None])
        return xp.linalg.solve(system, self.VZ + pull * U)


class State(NamedTuple):
    """Atoms of norm 1 in float64, and their codes; None where codes are not kept from step to step."""

    U: Float[Array, "*s k d"]
    V: Float[Array, "*s k n"] | None

    def of(self, chosen: Any) -> State:
        """The state of the descent with this index, or of those with these indices, along the first axis."""
        return State(self.U[chosen], None if self.V is None else self.V[chosen])

    def idle(self) -> list[bool]:
        """For each descent, whether some of its atoms have only zero codes."""
        if self.V is None:
            return [False] * len(self.U)
        xp = namespace(self.V)
        return (~xp.all(xp.any(self.V > 0, axis=-1), axis=-1)).tolist()


@dataclass
class Run:
    """One descent: the objective of every step that was kept, its extrapolation, and whether it has converged."""

    objectives: list[float] = field(default_factory=list)
    n_revived: int = 0
    converged: bool = False
    _weight: float = _FIRST
    _ceiling: float = 1.0
    _moving: bool = False  # whether the last step was kept
    _since: int = 0  # the first of the objectives that decide whether the descent has converged

    @property
    def objective(self) -> float:
        return self.objectives[-1]

    @property
    def rate(self) -> float:
        """The relative decrease of the objective in the last iteration."""
        return (self.objectives[-2] - self.objective) / self.objective if len(self.objectives) > 1 else math.inf

    def start_anew(self) -> None:
        """Continues without extrapolation, as if the descent had not ended."""
        self.converged = self._moving = False
        self._weight, self._ceiling, self._since = _FIRST, 1.0, len(self.objectives)

    def take(self, value: float, noise: float) -> bool:
        """Whether the step to the objective `value` is kept.

        Without extrapolation only rounding can raise the objective: then the descent has converged.
        """
        if value <= min(self.objectives[self._since :], default=math.inf) + noise:
            self.objectives.append(value)
            return True
        self.converged, self._moving = not self._moving, False
        self._weight, self._ceiling = self._weight / _RETREAT, self._weight
        return False

    def push(self, n_revived: int) -> float:
        """The weight of the extrapolation after a step that was kept: how far to go beyond it, as a part of it.

        0 after a step that was undone, and after atoms were revived.
        """
        weight = self._weight if self._moving and not n_revived else 0.0
        if n_revived:
            self.n_revived += n_revived
            self._since = len(self.objectives) - 1
        self._moving = True
        self._weight, self._ceiling = min(self._ceiling, _GROWTH * self._weight), min(1.0, _RECOVERY * self._ceiling)
        return weight

    def settle(self, window: int, tol: float, noise: float) -> None:
        """Marks the descent as converged if, in its last `window` steps, the objective fell by less than `tol` each."""
        recent = self.objectives[self._since :][-window - 1 :]
        least = max(window * tol * self.objective, noise)
        self.converged = len(recent) > window and recent[0] - self.objective <= least


@dataclass(frozen=True)
class Problem:
    """The numbers that a problem has beside its sums.

    Args:
        penalty: λ.
        squares: `‖Z‖²`.
        precision: machine epsilon of the numbers behind the sums. A rise of the objective that rounding can explain,
            relative to `squares`, does not count as one.
    """

    penalty: float
    squares: float
    precision: float

    @property
    def noise(self) -> float:
        """The part of the objective that is lost in rounding."""
        return self.precision * self.squares


@dataclass(frozen=True)
class Stopping:
    """When descents end: after `max_iter` iterations, or once these lower the objective by less than `tol` of it.

    The decrease is a mean over `window` iterations, since a single one may stand still and gather speed.
    """

    max_iter: int
    tol: float
    window: int = 1


def descend(
    runs: Sequence[Run],
    state: State,
    evaluate: Callable[[State], tuple[Sums, State]],
    problem: Problem,
    stopping: Stopping,
    *,
    revive: Callable[[State], int] = lambda state: 0,
    tell: Callable[[int], None] = lambda iteration: None,
) -> State:
    """The state at which the descents `runs` end; those that have converged do not change.

    Args:
        runs: the descents, which are updated.
        state: where they begin, one along the first axis for each.
        evaluate: returns the sums at a state, and the state with codes for its atoms.
        problem: the numbers of the problem.
        stopping: when a descent ends.
        revive: gives the unused atoms of a state new directions, in place; returns how many.
        tell: is called with the number of every iteration in which a step was kept.
    """
    kept = state
    for iteration in range(stopping.max_iter):
        sums, state = evaluate(state)
        values = sums.objectives(state.U, problem.penalty, problem.squares)
        moved = [not r.converged and r.take(v, _ROUNDING * problem.noise) for r, v in zip(runs, values, strict=True)]
        before = kept
        if any(moved):
            tell(iteration + 1)
            better = sums.better_atoms(state.U, problem.penalty, problem.precision)
            kept = _where(moved, unit(better, state.V), kept)
        idle = kept.idle()
        weights = [0.0] * len(runs)
        for i, run in enumerate(runs):
            if moved[i]:
                weights[i] = run.push(revive(kept.of(i)) if idle[i] else 0)
                run.settle(stopping.window, stopping.tol, problem.noise)
        if all(run.converged for run in runs):
            break
        state = _beyond(kept, before, weights)
    return kept


def _where(chosen: Sequence[bool], some: State, others: State) -> State:
    """`some` where `chosen`, along the first axis, and `others` elsewhere."""
    if all(chosen):
        return some
    xp = namespace(some.U)
    mask = xp.asarray(chosen, device=device(some.U))[:, None, None]
    V = None if some.V is None or others.V is None else xp.where(mask, some.V, others.V)
    return State(xp.where(mask, some.U, others.U), V)


def _beyond(now: State, before: State, weights: Sequence[float]) -> State:
    """`now`, extended in the direction from `before` to `now`, each descent by its own weight."""
    xp = namespace(now.U)
    if not any(weights):  # a copy, since codes are improved in place
        return State(now.U, None if now.V is None else xp.asarray(now.V, copy=True))
    weight = xp.asarray(weights, dtype=now.U.dtype, device=device(now.U))[:, None, None]
    U = unit(now.U + weight * (now.U - before.U), None).U
    if now.V is None or before.V is None:
        return State(U, None)
    V = now.V - before.V
    V *= xp.astype(weight, V.dtype)
    V += now.V
    return State(U, xp.maximum(V, xp.zeros_like(V[:1, :1, :1])))


def unit(U: Float[Array, "*s k d"], V: Float[Array, "*s k n"] | None) -> State:
    """The atoms scaled to norm 1, and the codes scaled so that `V U` does not change; zero atoms do not change."""
    xp = namespace(U)
    norms = xp.linalg.vector_norm(U, axis=-1, keepdims=True)
    norms = xp.where(norms > 0, norms, xp.ones_like(norms))
    return State(U / norms, None if V is None else V * beside(norms, V, V.dtype))


def times(V: Float[Array, "*s k n"], Z: Float[Array, "n d"]) -> Float[Array, "*s k d"]:
    """`V Z`, computed as one matrix product."""
    xp = namespace(V)
    return xp.reshape(xp.reshape(V, (-1, V.shape[-1])) @ Z, (*V.shape[:-1], Z.shape[-1]))
