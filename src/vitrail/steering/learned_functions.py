"""Interventions by learned functions: modules of states, in float32."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.lmm import Layer
from vitrail.lmm.positions import Pass, Positions, check
from vitrail.steering.interventions import Intervention
from vitrail.steering.options import strength


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
        self.layers, self.positions, self.alpha = tuple(self.functions), positions, strength(alpha)

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
        self.context, self.functions, self.alpha = context, dict(functions), strength(alpha)
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
