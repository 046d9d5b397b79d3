"""What steering does to a residual stream `h` at the positions it selects.

| intervention | what becomes of `h` |
|---|---|
| `Add` | `h + α s`, or that with the norm of `h` |
| `ProjectOut` | `h − α Q Qᵀ h`, `Q` an orthonormal basis of the directions |
| `Clamp` | `h + (c − a(h)) u`: the activation `a` of the concept `u` becomes `c` |
| `When` | another intervention, where the activation of a concept is above a threshold (or below) |
| `Function` | `h + α f(h)`, `f` learned |
| `FromContext` | `h + α g(c)`, `c` the state that the prompt ended in at another layer (L2S) |

The last two are in `learned_functions.py`.

Several are applied in their order. An intervention keeps its tensors in float32 and works on copies that live where
the states live.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vitrail.errors import NumericsError, UsageError
from vitrail.lmm import Layer
from vitrail.lmm.positions import Pass, Positions, check
from vitrail.steering.options import strength

#: Layer → one vector (features,), or rows (n, features).
Directions = Mapping[Layer, Tensor]


class Intervention(ABC):
    """A change of the states of some `layers` at some `positions`."""

    layers: tuple[Layer, ...]
    positions: Positions

    @property
    def reads(self) -> tuple[Layer, ...]:
        """Layers that are looked at, beside those that are changed."""
        return ()

    def read(self, layer: Layer, states: Tensor, now: Pass) -> None:  # noqa: B027 – most read nothing
        """Takes note of the states of one of `reads`."""

    @abstractmethod
    def move(self, layer: Layer, states: Tensor, now: Pass) -> Tensor:
        """What becomes of the states (batch, width, features) were every position selected, in a new tensor; the very
        same tensor where nothing changes."""

    def at_strength(self, alpha: float) -> Intervention:
        """The same intervention, `alpha` as strong as its unit.

        Raises:
            UsageError: it has no strength.
        """
        raise UsageError(f"{type(self).__name__} has no strength to choose.")


class _Copies:
    """Copies of float32 tensors where and as wide as states are, each made once. `like` raises `NumericsError` for a
    tensor that overflows the states' dtype."""

    def __init__(self) -> None:
        self._made: dict[Any, Tensor] = {}

    def like(self, name: Any, tensor: Tensor, states: Tensor) -> Tensor:
        key = (name, states.device, states.dtype)
        if key not in self._made:
            made = tensor.detach().to(states.device, states.dtype)
            if not torch.isfinite(made).all():
                raise NumericsError(f"What steering adds is too large for {states.dtype}. Give less strength.")
            self._made[key] = made
        return self._made[key]


def _checked(directions: Directions, *ndim: int) -> dict[Layer, Tensor]:
    """The directions in float32. Raises `UsageError` for no layer, another shape, or numbers that are not finite."""
    if not directions:
        raise UsageError("An intervention needs at least one layer.")
    for layer, d in directions.items():
        if not isinstance(d, Tensor) or d.ndim not in ndim or not torch.isfinite(d).all():
            came = tuple(d.shape) if isinstance(d, Tensor) else type(d).__name__
            dimensions = f"{' or '.join(map(str, ndim))} dimension{'s' * (max(ndim) > 1)}"
            raise UsageError(f"Expected a finite tensor of {dimensions} for layer {layer}; got {came}.")
    return {layer: d.detach().float() for layer, d in directions.items()}


def finite(number: float) -> float:
    """The number itself. Raises `UsageError` for infinity and for what is no number."""
    if not math.isfinite(number):
        raise UsageError(f"Expected a finite threshold or value; got {number}.")
    return float(number)


class _Directed(Intervention):
    """With a tensor per layer."""

    ndim: tuple[int, ...] = (1,)

    def __init__(self, directions: Directions, positions: Positions) -> None:
        check(positions)
        self.directions = _checked(directions, *self.ndim)
        self.layers, self.positions = tuple(self.directions), positions
        self._copies = _Copies()


class Add(_Directed):
    """Adds a vector: `h + α s` (Khayatan et al. 2025, section 5).

    Args:
        directions: layer → `s` (features,), or one `s` for every row of the batch that will be steered (batch,
            features), such as the vectors that prompts make (prompt-to-steer, Parekh et al. 2025).
        alpha: strength; 0 leaves every bit as it is.
        keep_norm: whether the result is given the norm of `h`, so that only its direction changes.
    """

    ndim = (1, 2)

    def __init__(
        self,
        directions: Directions,
        alpha: float = 1.0,
        *,
        keep_norm: bool = False,
        positions: Positions = "generated",
    ) -> None:
        super().__init__(directions, positions)
        self.alpha, self.keep_norm = strength(alpha), keep_norm
        self._pushes = {layer: self.alpha * d for layer, d in self.directions.items()}

    def move(self, layer: Layer, states: Tensor, now: Pass) -> Tensor:
        if self.alpha == 0.0:
            return states
        push = self._copies.like(layer, self._pushes[layer], states)
        if push.ndim == 2 and len(push) != len(states):
            raise UsageError(
                f"There is one vector a sample for {len(push)} samples, and the batch has {len(states)}. Steer one "
                "batch of these samples, in their order."
            )
        moved = states + (push if push.ndim == 1 else push[:, None])
        if self.keep_norm:
            norms = torch.linalg.vector_norm(states, dim=-1, keepdim=True, dtype=torch.float32)
            new = torch.linalg.vector_norm(moved, dim=-1, keepdim=True, dtype=torch.float32)
            moved = moved * (norms / new.clamp_min(torch.finfo(torch.float32).tiny)).to(moved.dtype)
        return moved

    def at_strength(self, alpha: float) -> Add:
        return Add(self.directions, alpha, keep_norm=self.keep_norm, positions=self.positions)


class ProjectOut(_Directed):
    """Takes what lies along some directions out of the states: `h − α Q Qᵀ h`.

    Args:
        directions: layer → directions (n, features), of any norm, dependent ones among them or not.
        alpha: 1 takes all of it out, 2 mirrors it.
    """

    ndim = (2,)

    def __init__(self, directions: Directions, alpha: float = 1.0, *, positions: Positions = "generated") -> None:
        super().__init__(directions, positions)
        self.alpha = strength(alpha)
        self._bases = {layer: _basis(d) for layer, d in self.directions.items()}

    def move(self, layer: Layer, states: Tensor, now: Pass) -> Tensor:
        if self.alpha == 0.0:
            return states
        Q = self._copies.like(("basis", layer), self._bases[layer], states)
        return states - self.alpha * (states @ Q.T) @ Q

    def at_strength(self, alpha: float) -> ProjectOut:
        return ProjectOut(self.directions, alpha, positions=self.positions)


def _basis(directions: Tensor) -> Tensor:
    """Orthonormal rows that span those of `directions`."""
    _, values, rows = torch.linalg.svd(directions.double(), full_matrices=False)
    kept = values > values.max() * 1e-6
    if not kept.any():
        raise UsageError("Directions that are all zero cannot be projected out.")
    return rows[kept].float()


@dataclass(frozen=True)
class Activation:
    """How active a concept is in states: `⟨h, u⟩ / ⟨u, u⟩`, or its code when all concepts are given.

    Args:
        direction: `u` (features,).
        codes: states (n, features) → activations (n, concepts), as a learner's `transform` gives them.
        concept: which of them.
    """

    direction: Tensor
    codes: Callable[[Tensor], Any] | None = None
    concept: int = 0
    _copies: _Copies = field(default_factory=_Copies, repr=False, compare=False)

    def __post_init__(self) -> None:
        _checked({0: self.direction}, 1)
        if not self.direction.any():
            raise UsageError("A concept whose direction is zero has no activation.")

    @property
    def u(self) -> Tensor:
        return self.direction.detach().float()

    def of(self, states: Tensor) -> Tensor:
        """(…,): the activation in states (…, features), in their dtype."""
        if self.codes is None:
            u = self._copies.like("dual", self.u / self.u.square().sum(), states)
            return states @ u
        flat = states.detach().reshape(-1, states.shape[-1]).float()
        found = torch.as_tensor(self.codes(flat))[:, self.concept]
        return found.to(states.device, states.dtype).reshape(states.shape[:-1])

    def along(self, states: Tensor) -> Tensor:
        return self._copies.like("u", self.u, states)


class Clamp(Intervention):
    """Sets the activation of a concept: `h + (value − a(h)) u`; what else is in `h` stays."""

    def __init__(
        self, layer: Layer, activation: Activation, value: float, *, positions: Positions = "generated"
    ) -> None:
        check(positions)
        self.layers, self.positions = (layer,), positions
        self.activation, self.value = activation, finite(value)

    def move(self, layer: Layer, states: Tensor, now: Pass) -> Tensor:
        missing = self.value - self.activation.of(states)
        return states + missing[..., None] * self.activation.along(states)

    def at_strength(self, alpha: float) -> Clamp:
        return Clamp(self.layers[0], self.activation, alpha, positions=self.positions)


class When(Intervention):
    """`then`, but only at positions where a concept is more active than `threshold` (less, with `below`)."""

    def __init__(self, activation: Activation, threshold: float, then: Intervention, *, below: bool = False) -> None:
        self.activation, self.threshold, self.then, self.below = activation, finite(threshold), then, below
        self.layers, self.positions = then.layers, then.positions

    @property
    def reads(self) -> tuple[Layer, ...]:
        return self.then.reads

    def read(self, layer: Layer, states: Tensor, now: Pass) -> None:
        self.then.read(layer, states, now)

    def move(self, layer: Layer, states: Tensor, now: Pass) -> Tensor:
        moved = self.then.move(layer, states, now)
        if moved is states:
            return states
        active = self.activation.of(states)
        fires = active < self.threshold if self.below else active > self.threshold
        return torch.where(fires[..., None], moved, states)

    def at_strength(self, alpha: float) -> When:
        return When(self.activation, self.threshold, self.then.at_strength(alpha), below=self.below)
