"""Layers and numbers from the text of an option."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from vitrail.errors import UsageError

if TYPE_CHECKING:
    from vitrail.lmm import Layer

Number = TypeVar("Number", int, float)


def to_layer(text: str) -> Layer:
    """A layer from its number, or `final`.

    Raises:
        UsageError: it is neither.
    """
    text = text.strip()
    if text == "final":
        return "final"
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"A layer is a whole number or `final`; got {text!r}.") from None


def to_layers(text: str, n_blocks: int) -> tuple[Layer, ...]:
    """Layers by commas; all those of a model with so many blocks for `all`.

    Raises:
        UsageError: a part is no layer.
    """
    if text == "all":
        return (*range(n_blocks + 1), "final")
    return tuple(to_layer(part) for part in text.split(","))


def to_numbers(text: str, kind: Callable[[str], Number], least: Number | None = None) -> list[Number]:
    """Numbers by commas; `kind` is int or float.

    Raises:
        UsageError: a part is no such number, or is less than `least`.
    """
    try:
        numbers = [kind(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or (least is not None and min(numbers) < least):
        what = ("whole numbers" if kind is int else "numbers") + ("" if least is None else f" of at least {least}")
        raise UsageError(f"Expected {what}, by commas; got {text!r}.")
    return numbers
