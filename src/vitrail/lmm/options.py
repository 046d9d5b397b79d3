"""What may be said of a model and its states by name: layers, positions, precisions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from vitrail.errors import UsageError
from vitrail.options import whole

if TYPE_CHECKING:
    from torch import Tensor

#: 0 are the embeddings, 1..N the residual stream after a block, −1..−N counted from the last one, or "final".
#: Among several layers, "all" stands for every one of them. A module that the image goes through before it reaches the
#: decoder is a layer, too, see `is_sight`.
Layer = int | str
#: In which the weights are held: as the model says, in a float type, or quantised by bitsandbytes.
DType = Literal["auto", "float32", "bfloat16", "float16", "int8", "int4"]
#: How a model is given a video: each of its frames as an image, or all of them as one video, if it knows videos.
Videos = Literal["frames", "whole"]
#: Positions of a forward pass; `positions` says which ones these are.
PositionName = Literal["prompt", "image", "first", "last", "ends", "generated", "said", "all"]
#: What can be read of a whole text, but not be changed while it is generated; "patches" are those of the image.
ReadName = Literal["word", "patches", "answer", "question"]

if TYPE_CHECKING:
    #: Positions by their name, by a mask, or by a function of a `positions.Pass`.
    Positions: TypeAlias = PositionName | Tensor | Callable[[Any], Tensor]
else:  # modules of options are imported for `--help`, which does not wait for torch
    Positions = object


def read_at(text: str) -> tuple[str, slice]:
    """Positions to read, "NAME", "NAME:INDEX" or "NAME:START:STOP", as a name and the slice of its positions.

    >>> read_at("question:-1"), read_at("answer:0:3")
    (('question', slice(-1, None, None)), ('answer', slice(0, 3, None)))

    Raises:
        UsageError: there are no positions of that name, or no such slice of them.
    """
    name, *numbers = text.split(":")
    known = (*get_args(ReadName), *get_args(PositionName))
    if name not in known or (name in ("word", "patches") and numbers):
        raise UsageError(
            f"States are read at {', '.join(known)}, or at a slice of these, such as answer:0:3 or question:-1 (word "
            f"and patches have none); got {text!r}."
        )
    try:
        bounds = [int(n) if n else None for n in numbers]
    except ValueError:
        bounds = [None] * 3
    match bounds:
        case []:
            return name, slice(None)
        case [int(index)]:
            return name, slice(index, index + 1 or None)
        case [start, stop]:
            first = start or 0
            if stop is not None and (stop == 0 or ((first < 0) == (stop < 0) and first >= stop)):
                raise UsageError(f"There is no position from {first} up to, but without, {stop}; got {text!r}.")
            return name, slice(start, stop)
    raise UsageError(f"A slice of positions is NAME:INDEX or NAME:START:STOP, in whole numbers; got {text!r}.")


def is_sight(layer: Layer) -> bool:
    """Whether a layer is a module that the image goes through before it reaches the decoder: "vision" (the vision
    encoder), "connector", or a module inside one of them, such as "vision.encoder.layers.3"."""
    return str(layer).partition(".")[0] in ("vision", "connector")


def own_layer(layer: Layer, n_blocks: int, model: str) -> Layer:
    """The layer by its own name in a model with N blocks: −1 becomes N.

    Raises:
        UsageError: there is no such layer; the range is named.
    """
    if layer == "final":
        return layer
    if is_sight(layer):
        raise UsageError(
            f"Layer {layer!r} is no layer of the decoder. The states of the vision encoder and of the connector can be "
            "extracted and learned from, and nothing else: they have no words, and are not steered."
        )
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
