"""Learned functions of a state, small modules in float32; and the interventions that apply them.

PEFT has no tuner that edits representations at chosen positions (its RoAd, BEFT and the like sit in weights, at every
position), and pyreft asks for transformers 4: so LoReFT and DiReFT are written here. All but `TwoLayer` change nothing
before they are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.lmm import Layer
from vitrail.lmm.positions import Pass, Positions, check
from vitrail.steering.interventions import Intervention, finite


class LoReFT(nn.Module):
    """`Rᵀ(Wh + b − Rh)`, `R` with orthonormal rows (Wu et al. 2024, equation 2): (…, features) → (…, features)."""

    def __init__(self, n_features: int, rank: int, seed: int = 0) -> None:
        super().__init__()
        _check_rank(rank, n_features)
        drawn = torch.randn(rank, n_features, generator=torch.Generator().manual_seed(seed))
        self.A = nn.Parameter(_orthonormal(drawn))
        self.W = nn.Parameter(self.A.detach().clone())
        self.b = nn.Parameter(torch.zeros(rank))
        self._R: tuple[Any, Tensor] | None = None

    @property
    def R(self) -> Tensor:
        """(rank, features): the orthonormal rows that span those of `A`; computed once while nothing is trained."""
        if torch.is_grad_enabled() and self.A.requires_grad:
            return _orthonormal(self.A)
        state = (self.A._version, self.A.device)
        if self._R is None or self._R[0] != state:
            self._R = (state, _orthonormal(self.A.detach()))
        return self._R[1]

    def forward(self, states: Tensor) -> Tensor:
        R = self.R
        return (states @ (self.W - R).T + self.b) @ R


class DiReFT(nn.Module):
    """`W₂ᵀ(W₁h + b)`, without the constraint (Wu et al. 2024, equation 3): (…, features) → (…, features)."""

    def __init__(self, n_features: int, rank: int, seed: int = 0) -> None:
        super().__init__()
        _check_rank(rank, n_features)
        drawn = torch.randn(rank, n_features, generator=torch.Generator().manual_seed(seed))
        self.W1 = nn.Parameter(drawn / n_features**0.5)
        self.b = nn.Parameter(torch.zeros(rank))
        self.W2 = nn.Parameter(torch.zeros(rank, n_features))

    def forward(self, states: Tensor) -> Tensor:
        return (states @ self.W1.T + self.b) @ self.W2


class TwoLayer(nn.Module):
    """L2S's `g`: two layers, tanh, no output bias (Parekh et al. 2025): (…, features) → (…, features).

    `centre` and `spread` (features,) standardise the input, which the paper leaves open; `unit` is the norm in whose
    units it is trained.
    """

    centre: Tensor
    spread: Tensor
    unit: Tensor

    def __init__(self, n_features: int, hidden: int = 100, seed: int = 0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.into = nn.Parameter(torch.randn(hidden, n_features, generator=draw) / n_features**0.5)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.out = nn.Parameter(torch.randn(hidden, n_features, generator=draw) / hidden**0.5)
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))
        self.register_buffer("unit", torch.ones(()))

    def forward(self, states: Tensor) -> Tensor:
        inner = torch.tanh((states - self.centre) / self.spread @ self.into.T + self.bias)
        return self.unit * (inner @ self.out)


def fit_two_layer(
    contexts: Tensor,
    targets: Tensor,
    *,
    hidden: int = 100,
    rate: float = 1e-3,
    batch_size: int = 64,
    epochs: int = 100,
    seed: int = 0,
) -> TwoLayer:
    """L2S's `g` with `g(contexts) ≈ targets`, both (n, features), by the paper's loss: MSE + L1 − 0.1·cos.

    The output layer begins as the directions that the targets have most in common. Everything is in units of the mean
    norm of the targets.

    Raises:
        UsageError: shapes that do not fit, or targets that are all zero.
    """
    if contexts.shape != targets.shape or contexts.ndim != 2 or not targets.any():
        raise UsageError(f"Expected contexts and targets of one shape; got {contexts.shape} and {targets.shape}.")
    g = TwoLayer(contexts.shape[1], hidden, seed)
    norms = targets.norm(dim=1)
    unit = norms[norms > 0].mean()
    goal = targets / unit
    g.centre, g.spread = contexts.mean(0), contexts.std(0) + 1e-6 * contexts.abs().max()
    _, values, rows = torch.linalg.svd(goal, full_matrices=False)
    n = min(hidden, len(rows))
    with torch.no_grad():
        g.out.mul_(0.01)
        g.out[:n] = rows[:n] * (values[:n] / len(goal) ** 0.5)[:, None]
    optimizer = torch.optim.Adam(g.parameters(), lr=rate)
    draw = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        for _ in range(epochs):
            for rows_of in torch.randperm(len(goal), generator=draw).split(batch_size):
                wanted = goal[rows_of]
                found = g(contexts[rows_of])
                cos = torch.nn.functional.cosine_similarity(found, wanted, dim=1)
                error = found - wanted
                loss = error.square().mean() + error.abs().mean() - 0.1 * cos.mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    g.unit = unit
    return g.requires_grad_(False)


def _orthonormal(rows: Tensor) -> Tensor:
    """Orthonormal rows that span those of `rows`, turned the same way."""
    Q, upper = torch.linalg.qr(rows.T)
    return (Q * upper.diagonal().sign()).T


def _check_rank(rank: int, n_features: int) -> None:
    if not 1 <= rank <= n_features:
        raise UsageError(f"The rank must be 1 to {n_features}, the width of the states; got {rank}.")


#: method → its module, made from (n_features, rank)
MODULES: Mapping[str, Callable[[int, int], nn.Module]] = {"loreft": LoReFT, "direft": DiReFT, "l2s": TwoLayer}


# ---- interventions ---------------------------------------------------------------------------------------------------


def _there(module: nn.Module, states: Tensor) -> nn.Module:
    """`module`, moved to where `states` live."""
    weight = next(module.parameters(), None)
    return module if weight is None or weight.device == states.device else module.to(states.device)


class Function(Intervention):
    """`h + α f(h)` with one learned `f` per layer: a module, states (…, features) float32 → their change."""

    def __init__(
        self, functions: Mapping[Layer, nn.Module], alpha: float = 1.0, *, positions: Positions = "generated"
    ) -> None:
        check(positions)
        if not functions:
            raise UsageError("An intervention needs at least one layer.")
        self.functions = dict(functions)
        self.layers, self.positions, self.alpha = tuple(self.functions), positions, finite(alpha)

    def move(self, layer: Layer, states: Tensor, now: Pass) -> Tensor:
        if self.alpha == 0.0:
            return states
        with torch.autocast(states.device.type, enabled=False):
            change = _there(self.functions[layer], states)(states.float())
        return states + (self.alpha * change).to(states.dtype)

    def at_strength(self, alpha: float) -> Function:
        return Function(self.functions, alpha, positions=self.positions)


class FromContext(Intervention):
    """`h + α g(c)`: the vector depends on the input through `c`, the state that the prompt ends in at layer `context`
    (L2S, Parekh et al. 2025).
    """

    def __init__(
        self,
        context: Layer,
        functions: Mapping[Layer, nn.Module],
        alpha: float = 1.0,
        *,
        positions: Positions = "generated",
    ) -> None:
        check(positions)
        self.context, self.functions, self.alpha = context, dict(functions), finite(alpha)
        if not functions:
            raise UsageError("An intervention needs at least one layer.")
        self.layers, self.positions = tuple(self.functions), positions

    @property
    def reads(self) -> tuple[Layer, ...]:
        return (self.context,)

    def read(self, layer: Layer, states: Tensor, now: Pass) -> None:
        if now.start == 0:
            now.memory[self] = states[:, now.prompt - 1].detach()

    def move(self, layer: Layer, states: Tensor, now: Pass) -> Tensor:
        if self.alpha == 0.0:
            return states
        with torch.autocast(states.device.type, enabled=False):
            vector = _there(self.functions[layer], states)(now.memory[self].to(states.device).float())
        return states + (self.alpha * vector).to(states.dtype)[:, None]

    def at_strength(self, alpha: float) -> FromContext:
        return FromContext(self.context, self.functions, alpha, positions=self.positions)
