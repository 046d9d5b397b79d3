"""Layers, numbers and lists from the text of an option."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from vitrail.errors import UsageError
from vitrail.lmm.options import Layer, is_sight

T = TypeVar("T")
Number = TypeVar("Number", int, float)


def to_layer(text: str) -> Layer:
    """A layer from its number, or by its name.

    Raises:
        UsageError: it is neither.
    """
    text = text.strip()
    if text == "final" or is_sight(text):
        return text
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            "A layer is a whole number, `final`, `vision`, `connector`, or a module inside one of these two; "
            f"got {text!r}."
        ) from None


def to_layers(text: str) -> tuple[Layer, ...]:
    """Layers by commas, or `all`.

    Raises:
        UsageError: a part is no layer.
    """
    return ("all",) if text == "all" else to_list(to_layer)(text)


def to_number(kind: Callable[[str], Number], least: float | None = None) -> Callable[[str], Number]:
    """A function that reads a number; `kind` is int or float.

    Raises:
        UsageError: a text is no such number, or less than `least`.
    """

    def read(text: str) -> Number:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or (least is not None and not number >= least):
            what = ("whole numbers" if kind is int else "numbers") + (
                "" if least is None else f" of at least {least:g}"
            )
            raise UsageError(f"Expected {what}, by commas; got {text!r}.")
        return number

    return read


def to_list(read: Callable[[str], T]) -> Callable[[str], tuple[T, ...]]:
    """A function that reads a list by commas, each part with `read`. An empty text is an empty list."""
    return lambda text: tuple(read(part.strip()) for part in text.split(",") if part.strip())


def to_either(words: Sequence[str], read: Callable[[str], T], what: str) -> Callable[[str], T | str]:
    """A function that reads one of `words`, or else with `read`, which expects `what`.

    Raises:
        UsageError: the text is neither.
    """

    def either(text: str) -> T | str:
        if (text := text.strip()) in words:
            return text
        try:
            return read(text)
        except UsageError:
            raise UsageError(f"Expected {what} or {' or '.join(words)}; got {text!r}.") from None

    return either


def to_pairs(texts: Sequence[str] | None) -> dict[str, str]:
    """Name → value, of texts `NAME=VALUE`.

    Raises:
        UsageError: a text has no name or no value, or a name comes twice.
    """
    found: dict[str, str] = {}
    for text in texts or ():
        name, _, value = (half.strip() for half in text.partition("="))
        if not name or not value or name in found:
            raise UsageError(f"Expected NAME=VALUE, each name once; got {text!r}.")
        found[name] = value
    return found
