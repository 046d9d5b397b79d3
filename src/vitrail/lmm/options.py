"""What may be said of a model and its states by name: layers, positions, precisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vitrail.errors import UsageError
from vitrail.options import whole

if TYPE_CHECKING:
    from torch import Tensor

#: 0 are the embeddings, 1..N the residual stream after a block, −1..−N counted from the last one, or "final".
#: Among several layers, "all" stands for every one of them.
Layer = int | str
#: In which the weights are held: as the model says, in a float type, or quantised by bitsandbytes.
DType = Literal["auto", "float32", "bfloat16", "float16", "int8", "int4"]
#: Positions of a forward pass; `positions` says which ones these are.
PositionName = Literal["prompt", "image", "first", "last", "ends", "generated", "all"]

if TYPE_CHECKING:
    #: Positions by their name, by a mask, or by a function of a `positions.Pass`.
    Positions: TypeAlias = PositionName | Tensor | Callable[[Any], Tensor]
else:  # modules of options are imported for `--help`, which does not wait for torch
    Positions = object


def own_layer(layer: Layer, n_blocks: int, model: str) -> Layer:
    """The layer by its own name in a model with N blocks: −1 becomes N.

    Raises:
        UsageError: there is no such layer; the range is named.
    """
    if layer == "final":
        return layer
    number = whole(layer)
    if number is None or not -n_blocks <= number <= n_blocks:
        raise UsageError(
            f"Layer {layer!r} does not exist: {model} has layers 0 to {n_blocks}, −1 to −{n_blocks}, and 'final'."
        )
    return number if number >= 0 else n_blocks + 1 + number


def own_layers(layers: Iterable[Layer], n_blocks: int, model: str) -> tuple[Layer, ...]:
    """Layers by their own names, each once, in the order of the model; all that it has for "all".

    Raises:
        UsageError: there is no such layer.
    """
    every = (*range(n_blocks + 1), "final")
    named = {own for layer in layers for own in (every if layer == "all" else [own_layer(layer, n_blocks, model)])}
    return tuple(layer for layer in every if layer in named)
