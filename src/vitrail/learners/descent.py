"""The descent of Semi-NMF: what it needs of the data, how an atom moves, and how it gathers speed.

The data enter through sums over samples alone: with the codes `V` (n, K) of the present atoms `U` (K, d), `VᵀV` (K, K),
`VᵀZ` (K, d) and the mass `‖v_k‖₁` of every concept. They add up over any division of the samples, so that one descent
serves representations in memory, on disk, and on many machines.

Atoms. Scaling an atom up and its codes down changes nothing in `V U`, so the problem is that of `‖Z − V U‖² +
λ Σ_k ‖v_k‖₁ ‖u_k‖` without a constraint. As `2‖u‖ ≤ ‖u‖²/c + c`, with equality at `‖u‖ = c`, unit atoms are improved
jointly by one K × K system, `(VᵀV + λ/2 diag ‖v_k‖₁) U = VᵀZ`, and are then brought back to norm 1.

Speed. Alternating exact steps crawl along curved valleys. Extrapolation (Ang & Gillis, Neural Computation 2019) goes on
in the direction of the last step, further each time it pays; a step that raises the objective is taken back.

Several descents go side by side, as the first axis of every array: one call then does the work of all, which counts
where arrays are small. Each gathers speed and takes steps back by itself.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vitrail.learners.arrays import Array, beside, device, namespace

_CANCELLATION = 4  # how much larger the parts of `‖V U‖²` may be than their sum, before float32 will not do
_ROUNDING = 8  # units in the last place of `‖Z‖²` that sums may be off
_GROWTH, _RECOVERY, _RETREAT, _FIRST = 1.05, 1.01, 1.5, 0.5  # of the extrapolation's weight


@dataclass(frozen=True)
class Sums:
    """What one pass over samples leaves: `VᵀV` (…, K, K), `VᵀZ` (…, K, d), `‖v_k‖₁` (…, K), all in float64."""

    VV: Array
    VZ: Array
    mass: Array

    @classmethod
    def of(cls, Z: Array, V: Array, U: Array) -> "Sums":
        """Of `Z` (n, d), atoms `U` (…, K, d) and their codes `V` (…, K, n).

        The products are in the precision of `Z`, or in float64 where atoms cancel each other in `V U`, and what is left
        would be lost in rounding.
        """
        xp = namespace(Z)
        VV = xp.astype(V @ xp.matrix_transpose(V), xp.float64)
        parts = VV * (U @ xp.matrix_transpose(U))
        sizes, sums = xp.sum(xp.abs(parts), axis=(-2, -1)), xp.sum(parts, axis=(-2, -1))
        if bool(xp.any(sizes > _CANCELLATION * sums)):
            V, Z = xp.astype(V, xp.float64, copy=False), xp.astype(Z, xp.float64, copy=False)
            VV = V @ xp.matrix_transpose(V)
        return cls(VV, xp.astype(times(V, Z), xp.float64), xp.sum(V, axis=-1, dtype=xp.float64))

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(self.VV + other.VV, self.VZ + other.VZ, self.mass + other.mass)

    def as_one(self) -> "Sums":
        """The same as those of one descent among several, along a first axis."""
        return Sums(self.VV[None], self.VZ[None], self.mass[None])

    def objectives(self, U: Array, penalty: float, squares: float) -> list[float]:
        """`‖Z − V U‖² + λ‖V‖₁` of each of the `U` (S, K, d), where `squares` is `‖Z‖²`."""
        xp = namespace(U)
        fit = xp.sum(self.VV * (U @ xp.matrix_transpose(U)), axis=(-2, -1)) - 2 * xp.sum(self.VZ * U, axis=(-2, -1))
        return [max(0.0, squares + found) for found in (fit + penalty * xp.sum(self.mass, axis=-1)).tolist()]

    def better_atoms(self, U: Array, penalty: float, precision: float) -> Array:
        """Atoms (…, K, d) of any norm that lower the objective; those without codes stay.

        A pull towards the old atoms, `precision` of the largest entry, keeps the system regular.
        """
        xp = namespace(U)
        largest = xp.max(xp.linalg.diagonal(self.VV), axis=-1)[..., None, None]
        pull = xp.where(largest > 0, precision * largest, xp.ones_like(largest))
        eye = xp.eye(U.shape[-2], dtype=U.dtype, device=device(U))
        system = self.VV + eye * (pull + penalty / 2 * self.mass[..., None])
        return xp.linalg.solve(system, self.VZ + pull * U)


class State(NamedTuple):
    """Unit atoms `U` (…, K, d) in float64, and their codes `V` (…, K, n) where these are kept from step to step."""

    U: Array
    V: Array | None

    def of(self, chosen: Any) -> "State":
        """The states of some descents: a number or numbers, along the first axis."""
        return State(self.U[chosen], None if self.V is None else self.V[chosen])

    def idle(self) -> list[bool]:
        """Of each descent, whether some of its atoms have no codes."""
        if self.V is None:
            return [False] * len(self.U)
        xp = namespace(self.V)
        return (~xp.all(xp.any(self.V > 0, axis=-1), axis=-1)).tolist()


@dataclass
class Run:
    """One descent: the objective of every step that was kept, how it gathers speed, and how it ended."""

    objectives: list[float] = field(default_factory=list)
    n_revived: int = 0
    converged: bool = False
    _weight: float = _FIRST
    _ceiling: float = 1.0
    _moving: bool = False  # whether the last step was kept
    _since: int = 0  # where the objectives begin that tell whether it is over

    @property
    def objective(self) -> float:
        return self.objectives[-1]

    @property
    def rate(self) -> float:
        """By which share of itself the objective fell in the last iteration."""
        return (self.objectives[-2] - self.objective) / self.objective if len(self.objectives) > 1 else math.inf

    def start_anew(self) -> None:
        """Goes on from rest, as if it had not ended."""
        self.converged = self._moving = False
        self._weight, self._ceiling, self._since = _FIRST, 1.0, len(self.objectives)

    def take(self, value: float, noise: float) -> bool:
        """Whether the step to `value` is kept. One from rest that is not ends the descent: rounding made it rise."""
        if value <= min(self.objectives, default=math.inf) + noise:
            self.objectives.append(value)
            return True
        self.converged, self._moving = not self._moving, False
        self._weight, self._ceiling = self._weight / _RETREAT, self._weight
        return False

    def push(self, n_revived: int) -> float:
        """How far to go beyond the step that was kept, as a part of it; 0 from rest, and where atoms were revived."""
        weight = self._weight if self._moving and not n_revived else 0.0
        if n_revived:
            self.n_revived += n_revived
            self._since = len(self.objectives) - 1
        self._moving = True
        self._weight, self._ceiling = min(self._ceiling, _GROWTH * self._weight), min(1.0, _RECOVERY * self._ceiling)
        return weight

    def settle(self, window: int, tol: float, noise: float) -> None:
        """Ends the descent once the last `window` steps lowered the objective by less than `tol` of it each."""
        recent = self.objectives[self._since :][-window - 1 :]
        least = max(window * tol * self.objective, noise)
        self.converged = len(recent) > window and recent[0] - self.objective <= least


def descend(
    runs: Sequence[Run],
    state: State,
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
) -> State:
    """Where `runs` end that go on from `state`, each from its place along the first axis, for at most `max_iter`
    iterations or until these lower the objective by less than `tol` of it. Those that have converged stay.

    Args:
        evaluate: the sums at a state, and the state with codes for its atoms.
        squares: `‖Z‖²`.
        precision: of the numbers behind the sums; what they lose by it, relative to `squares`, is not taken for a rise.
        window: over how many iterations `tol` is a mean: one alone may stand still and gather speed.
        revive: turns unused atoms of one of the states elsewhere, in place; how many.
    """
    noise = precision * squares
    kept = state
    for iteration in range(max_iter):
        sums, state = evaluate(state)
        values = sums.objectives(state.U, penalty, squares)
        moved = [not r.converged and r.take(v, _ROUNDING * noise) for r, v in zip(runs, values, strict=True)]
        before = kept
        if any(moved):
            tell(iteration + 1)
            kept = _where(moved, unit(sums.better_atoms(state.U, penalty, precision), state.V), kept)
        idle = kept.idle()
        weights = [0.0] * len(runs)
        for i, run in enumerate(runs):
            if moved[i]:
                weights[i] = run.push(revive(kept.of(i)) if idle[i] else 0)
                run.settle(window, tol, noise)
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
    """The states further along the way from `before` to `now`, each by its own weight."""
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


def unit(U: Array, V: Array | None) -> State:
    """Atoms (…, K, d) of norm 1, and codes (…, K, n) that make up for it; atoms of zero stay."""
    xp = namespace(U)
    norms = xp.linalg.vector_norm(U, axis=-1, keepdims=True)
    norms = xp.where(norms > 0, norms, xp.ones_like(norms))
    return State(U / norms, None if V is None else V * beside(norms, V, V.dtype))


def times(V: Array, Z: Array) -> Array:
    """`V Z` (…, K, d) of `V` (…, K, n) and `Z` (n, d), as one product."""
    xp = namespace(V)
    return xp.reshape(xp.reshape(V, (-1, V.shape[-1])) @ Z, (*V.shape[:-1], Z.shape[-1]))
