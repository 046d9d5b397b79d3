"""A model with random weights, made of the model itself: every weight of it goes to another place, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vitrail.errors import ModelError


@contextmanager
def shuffled(model: nn.Module, seed: int = 0) -> Iterator[None]:
    """Inside the `with` block the numbers of every weight of `model` are dealt to other places of that weight; they are
    put back at its end, bit by bit. So no copy of the model is needed, and each weight keeps its distribution.

    Raises:
        ModelError: weights of it were off-loaded, so that they are not here.
    """
    weights = list(model.parameters())
    if off_loaded(model):
        raise ModelError(
            "Weights of this model are off-loaded, so they cannot be shuffled. Load it without off-loading."
        )
    done = 0
    try:
        for i, weight in enumerate(weights):
            weight.data.copy_(weight.data.reshape(-1)[_order(weight, seed + i)].reshape(weight.shape))
            done = i + 1
        yield
    finally:
        for i, weight in enumerate(weights[:done]):
            numbers = weight.data.reshape(-1)
            back = torch.empty_like(numbers)
            back[_order(weight, seed + i)] = numbers
            weight.data.copy_(back.reshape(weight.shape))


def off_loaded(model: nn.Module) -> bool:
    """Whether accelerate keeps some weights of `model` elsewhere until they are needed."""
    return any(weight.is_meta for weight in model.parameters())


def _order(weight: Tensor, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randperm(weight.numel(), generator=draw).to(weight.device)
