"""What all options have in common: the type of a field says what it may be, and that is checked when options are made.

    @dataclass(frozen=True)
    class GroundingOptions(Options):
        n_words: Count = 10                       # 1 or more
        language: Literal["en", "de"] = "en"      # one of these

The command line makes its options from the same types, see `cli.derived`. So modules of options import nothing heavy.
"""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from numbers import Real
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from vitrail.errors import UsageError


@dataclass(frozen=True)
class AtLeast:
    """`Annotated[int, AtLeast(1)]`: the smallest value that a field may have."""

    least: float


@dataclass(frozen=True)
class Above:
    """`Annotated[float, Above(0)]`: what a field must be more than."""

    limit: float


@dataclass(frozen=True)
class Within:
    """`Annotated[float, Within(1.0)]`: the largest size that a number may have, above zero and below."""

    size: float


@dataclass(frozen=True)
class NameIn:
    """`Annotated[str, NameIn("vitrail.learners.registry:LEARNERS")]`: a name in a registry.

    Args:
        registry: where it is, as `module:name`: a collection of names, or a function that returns one. It is imported
            when `names` is asked for. Whoever uses the name checks it.
    """

    registry: str

    def names(self) -> tuple[str, ...]:
        """The names in the registry, now."""
        module, _, name = self.registry.partition(":")
        found = getattr(import_module(module), name)
        names: Iterable[str] = found() if callable(found) else found
        return tuple(names)


_HALVES = re.compile("[\ud800-\udfff]")

Count = Annotated[int, AtLeast(1)]
"""How many, where there must be one."""
CountOrNone = Annotated[int, AtLeast(0)]
"""How many, and 0 for none."""
CountOrAuto = Count | Literal["auto"]
"""How many, or that it is found out."""
Seed = Annotated[int, AtLeast(0), Within(2**32 - 1)]
"""Of everything random; what numpy and scikit-learn take."""


@dataclass(frozen=True)
class Options:
    """Base of all options. When they are made, every field must be what its type says.

    Whole numbers and floats of numpy count as Python's, and become them; a whole number is a float, too. True and False
    are no numbers, 2.0 is no whole number, and NaN and infinity are none at all.

    Raises:
        UsageError: a value of another type, a number out of its range, or a value that is not among those of a
            `Literal`; the message names the field and the value.
    """

    def __post_init__(self) -> None:
        own: type = type(self)
        for name, kind in types_of(own).items():
            given = getattr(self, name)
            taken = _taken(name, given, kind)
            if taken is not given:
                object.__setattr__(self, name, taken)


@functools.cache
def types_of(options: type) -> dict[str, Any]:
    """The types of the fields of a dataclass, with what `Annotated` adds to them."""
    types = get_type_hints(options, include_extras=True)
    return {name: types[name] for name in options.__dataclass_fields__}  # type: ignore[attr-defined]


def without_none(kind: Any) -> Any:
    """The type without None: `int` of `int | None`."""
    if get_origin(kind) not in (Union, UnionType):
        return kind
    return Union[tuple(k for k in get_args(kind) if k is not NoneType)]  # noqa: UP007 – of a tuple


def whole(value: Any) -> int | None:
    """A whole number, Python's or numpy's, as Python's; None for all else, True and False included."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:  # of a truth value of numpy, too
        return None


def is_unicode(text: str) -> bool:
    """Whether `text` can be written: it holds no half of a surrogate pair, as a byte that is no text becomes."""
    return text.isascii() or not _HALVES.search(text)


def _taken(name: str, value: Any, kind: Any) -> Any:
    """`value` as the type `kind` has it.

    Raises:
        UsageError: it is none of that type; `name` is that of its field.
    """
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if value is None and NoneType in kinds:
        return None
    kinds = tuple(k for k in kinds if k is not NoneType)
    words = [word for k in kinds if get_origin(k) is Literal for word in get_args(k)]
    if len(kinds) > 1 and words:  # a number, or a word in its place
        if isinstance(value, str) and value not in words:
            raise UsageError(f"{name} must be a number or {' or '.join(map(repr, words))}; got {value!r}.")
        return (
            value
            if isinstance(value, str)
            else _taken(name, value, *(k for k in kinds if get_origin(k) is not Literal))
        )
    if len(kinds) > 1:  # a layer: a number, or a name
        number = whole(value) if int in kinds else None
        return value if number is None else number
    origin, inner = get_origin(kinds[0]), get_args(kinds[0])
    if origin is Annotated:
        base, *rules = inner
        value = _taken(name, value, base)
        for rule in rules:
            if isinstance(rule, AtLeast) and not value >= rule.least:
                raise UsageError(f"{name} must be at least {rule.least:g}; got {value}.")
            if isinstance(rule, Above) and not value > rule.limit:
                raise UsageError(f"{name} must be more than {rule.limit:g}; got {value}.")
            if isinstance(rule, Within) and not abs(value) <= rule.size:
                bound = f"at most {rule.size:g}" if value > 0 else f"at least −{rule.size:g}"
                raise UsageError(f"{name} must be {bound}; got {value}.")
        return value
    if origin is Literal:
        if value not in inner:
            raise UsageError(f"{name} must be {' or '.join(map(repr, inner))}; got {value!r}.")
    elif origin in (tuple, Sequence):
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise UsageError(f"{name} must be several values; got {value!r}.")
        items = [_taken(name, item, inner[0]) for item in value]
        return tuple(items) if origin is tuple else items
    elif kinds[0] in _SIMPLE:
        what, take = _SIMPLE[kinds[0]]
        if (taken := take(value)) is None:
            raise UsageError(f"{name} must be {what}; got {value!r}.")
        return taken
    return value


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:  # a whole number that is larger than any float
        return None


def _truth(value: Any) -> bool | None:
    return bool(value) if type(value).__name__ in ("bool", "bool_") else None  # numpy's, without importing it


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and is_unicode(value) else None


#: A type → what it is in words, and a function that gives a value of it, or None.
_SIMPLE: dict[Any, tuple[str, Callable[[Any], Any]]] = {
    int: ("a whole number", whole),
    float: ("a number", _float),
    bool: ("True or False", _truth),
    str: ("text that is valid Unicode", _text),
}
