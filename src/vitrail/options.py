"""What all options have in common: the type of a field says what it may be, and that is checked when options are made.

    @dataclass(frozen=True)
    class GroundingOptions(Options):
        n_words: Count = 10                       # 1 or more
        language: Literal["en", "de"] = "en"      # one of these

The command line makes its options from the same types, see `cli.derived`. So modules of options import nothing heavy.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from vitrail.errors import UsageError


@dataclass(frozen=True)
class AtLeast:
    """`Annotated[int, AtLeast(1)]`: the smallest value that a field may have."""

    least: float


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


Count = Annotated[int, AtLeast(1)]
"""How many, where there must be one."""
CountOrNone = Annotated[int, AtLeast(0)]
"""How many, and 0 for none."""


@dataclass(frozen=True)
class Options:
    """Base of all options. When they are made, every field must be what its type says.

    Raises:
        UsageError: a number below its least value or beyond its largest size, or a value that is not among those of a
            `Literal`; the message names the field and the value.
    """

    def __post_init__(self) -> None:
        own: type = type(self)
        for name, kind in types_of(own).items():
            _check(name, getattr(self, name), kind)


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


def _check(name: str, value: Any, kind: Any) -> None:
    if value is None:
        return
    kind = without_none(kind)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        base, *rules = inner
        for rule in rules:
            if isinstance(rule, AtLeast) and not value >= rule.least:
                raise UsageError(f"{name} must be at least {rule.least:g}; got {value}.")
            if isinstance(rule, Within) and not abs(value) <= rule.size:
                raise UsageError(f"{name} must be from −{rule.size:g} to {rule.size:g}; got {value}.")
        _check(name, value, base)
    elif origin is Literal and value not in inner:
        raise UsageError(f"{name} must be {' or '.join(map(repr, inner))}; got {value!r}.")
    elif origin is tuple or origin is Sequence:
        for item in value:
            _check(name, item, inner[0])
