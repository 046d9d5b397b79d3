"""What may be said of a model and its states by name: layers, positions, precisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

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
