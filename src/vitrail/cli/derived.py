"""Options of the command line from the fields of a dataclass: a type, a default and a line of documentation are enough.

| a field's                | becomes an option's                                                                      |
|--------------------------|------------------------------------------------------------------------------------------|
| name                     | name: `n_words` is `--words`, `match_case` is `--match-case`; `Named` says otherwise     |
| type                     | values: those of a `Literal`, numbers in their range, a layer, several by commas         |
| default                  | default                                                                                  |
| line in the class's Args | help                                                                                     |

A field whose type is a dataclass is a group inside the group: its fields become options, too.
A field whose type has an option of Typer, `Annotated[str, typer.Option(…)]`, has that option.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection, Iterator
from copy import copy
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from rich.markup import escape
from typer.models import OptionInfo, ParameterInfo

from vitrail.cli.parsing import to_either, to_layer, to_layers, to_list, to_number
from vitrail.errors import UsageError
from vitrail.lmm.options import Layer
from vitrail.options import AtLeast, NameIn, types_of, without_none
from vitrail.visible import visible


class Without:
    """`Annotated[ModelChoice, Without("adapter")]`: the fields of a group that a command does not offer as options."""

    def __init__(self, *names: str) -> None:
        self.names = frozenset(names)


class Named:
    """`Annotated[RankOptions, Named(alpha="--strength")]`: options that are not called as their fields are."""

    def __init__(self, **names: str) -> None:
        self.names = names


def options_of(group: type, parameter: inspect.Parameter) -> Iterator[inspect.Parameter]:
    """The fields of `group`, the dataclass of a command's `parameter`, as parameters that Typer makes options of."""
    rules = getattr(parameter.annotation, "__metadata__", ())
    left_out = frozenset().union(*(rule.names for rule in rules if isinstance(rule, Without)))
    names = {k: v for rule in rules if isinstance(rule, Named) for k, v in rule.names.items()}
    places = _places(group, left_out)
    known = left_out & _names(group) | {field.name for _, _, field in places}
    if unknown := (left_out | names.keys()) - known:
        raise TypeError(f"{group.__name__} has no field {', '.join(sorted(unknown))}.")
    panel = parameter.name.replace("_", " ").capitalize()
    for where, owner, field in places:
        name = "__".join((parameter.name, *where, field.name))
        yield _option(owner, field, names.get(field.name), panel).replace(name=name)


def _places(
    group: type, left_out: Collection[str], where: tuple[str, ...] = ()
) -> list[tuple[tuple[str, ...], type, Field[Any]]]:
    """The fields of a group and of the groups inside it: the names that lead there, the dataclass, the field."""
    found: list[tuple[tuple[str, ...], type, Field[Any]]] = []
    for field in fields(group):
        kind: Any = types_of(group)[field.name]
        if field.name not in left_out:
            inner = is_dataclass(kind)
            found += _places(kind, left_out, (*where, field.name)) if inner else [(where, group, field)]
    return found


def _names(group: type) -> set[str]:
    """The names of the fields of a group, and of the groups inside it."""
    inner: list[Any] = [kind for kind in types_of(group).values() if is_dataclass(kind)]
    return {*types_of(group), *(name for kind in inner for name in _names(kind))}


def taken_from(values: dict[str, Any], parameter: str, group: Any) -> Any:
    """The group of a command's `parameter`, made of the values of its options, which are taken out of `values`."""
    start = f"{parameter}__"
    inner = {
        name: taken_from(values, start + name, kind)
        for name, kind in types_of(group).items()
        if is_dataclass(kind) and any(value.startswith(f"{start}{name}__") for value in values)
    }
    own = [name for name in values if name.startswith(start)]
    return group(**inner, **{name.removeprefix(start): values.pop(name) for name in own})


def names_of(option: inspect.Parameter) -> tuple[str, ...]:
    """How an option is called on the command line: `--words`."""
    return tuple(name for info in _infos(option.annotation) for name in _declared(info))


def parser_of(option: inspect.Parameter) -> Any:
    """What reads the text of an option; None where Typer does."""
    return next((info.parser for info in _infos(option.annotation)), None)


def _infos(kind: Any) -> list[ParameterInfo]:
    """The options of Typer in `Annotated[…, typer.Option()]`: one, or none."""
    return [m for m in getattr(kind, "__metadata__", ()) if isinstance(m, ParameterInfo)]


def _declared(info: ParameterInfo) -> tuple[str, ...]:
    """The names in `Annotated[…, typer.Option("--a", "-b")]`. Typer keeps the first one as the default, at first."""
    return tuple(d for d in (info.default, *(info.param_decls or ())) if isinstance(d, str))


def _option(group: type, field: Field[Any], name: str | None, panel: str) -> inspect.Parameter:
    kind = types_of(group)[field.name]
    default = inspect.Parameter.empty if field.default is MISSING else field.default
    if not _infos(kind):
        default = _text(default) if isinstance(default, tuple) else default
        kind = _annotated(kind, name or _name(field.name, default), docs(group).get(field.name, ""), default)
    base, *rules = get_args(kind)
    rules = [copy(rule) if isinstance(rule, ParameterInfo) else rule for rule in rules]  # a type may have many users
    for rule in rules:
        if isinstance(rule, OptionInfo):
            rule.rich_help_panel = rule.rich_help_panel or panel
            rule.default = rule.default if _declared(rule) else _name(field.name, default)
    return inspect.Parameter(
        field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[(base, *rules)]
    )


def _text(values: tuple[Any, ...]) -> str:
    """Values by commas, as they are typed."""
    return ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)


def _name(field: str, default: Any) -> str:
    name = field.removeprefix("n_").replace("_", "-")
    return f"--{name}/--no-{name}" if default is True else f"--{name}"


def _annotated(kind: Any, name: str, text: str, default: Any) -> Any:
    """The type of an option, as Typer reads it."""
    optional = kind != without_none(kind)
    kind, rules = _plain(without_none(kind))
    text = text[:1].upper() + text[1:] if text[:1].isascii() else text  # "λ of …" stays
    settings: dict[str, Any] = {"help": escape(text)}
    if parser := _parser(kind, rules, default):
        kind, settings["parser"], settings["metavar"] = str, parser, f"<{parser.__name__}>"
        settings["autocompletion"] = parser.complete if isinstance(parser, NameParser) else None
    elif (least := _least(rules)) is not None:
        settings["min"] = least
    return Annotated[kind | None if optional else kind, typer.Option(name, **settings)]


def _plain(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """A type without what `Annotated` adds to it, and that."""
    return (get_args(kind)[0], get_args(kind)[1:]) if get_origin(kind) is Annotated else (kind, ())


def _least(rules: tuple[Any, ...]) -> float | None:
    return next((rule.least for rule in rules if isinstance(rule, AtLeast)), None)


def _parser(kind: Any, rules: tuple[Any, ...], default: Any) -> Parser | None:
    """What reads the text of an option whose type is none of Typer's; None for the others."""
    if kind == Layer:
        return Parser(to_layer, "layer")
    if names := next((rule for rule in rules if isinstance(rule, NameIn)), None):
        return NameParser(names, default)
    if words := [word for k in get_args(kind) if get_origin(k) is Literal for word in get_args(k)]:
        number, limits = _plain(next(k for k in get_args(kind) if get_origin(k) is not Literal))
        least = _least(limits)
        what = "a number" if least is None else f"a number of at least {least:g}"
        return Parser(to_either(words, to_number(number, least), what), "|".join(["number", *words]))
    if get_origin(kind) is not tuple:
        return None
    item, inner = _plain(get_args(kind)[0])
    if names := next((rule for rule in inner if isinstance(rule, NameIn)), None):
        return NameParser(names, default, several=True)
    if item == Layer:
        return Parser(to_layers, "layers")
    if item is str:
        return Parser(to_list(str), "names")
    return Parser(to_list(to_number(item, _least(inner))), "numbers")


class Parser:
    """A parser of Typer: a function of a text, under the name that the help shows."""

    def __init__(self, read: Callable[[str], Any], name: str) -> None:
        self.read, self.__name__ = read, name

    def __call__(self, text: Any) -> Any:
        """What the text says; a default that is no text stays as it is.

        Raises:
            typer.BadParameter: it cannot be read.
        """
        try:
            return self.read(text) if isinstance(text, str) else text
        except UsageError as error:
            raise typer.BadParameter(visible(str(error))) from None


class NameParser(Parser):
    """A parser of a name in a registry, or of `several` by commas; a shell completes them.

    The registry is imported for names other than the default, for the help and for a shell: that may take a second.
    """

    def __init__(self, known: NameIn, default: Any, several: bool = False) -> None:
        super().__init__(to_list(self._known) if several else self._known, "names" if several else "name")
        self.names, self.default = known.names, default

    def _known(self, text: str) -> str:
        if text != self.default and text not in self.names():
            raise UsageError(f"{text!r} is not one of {', '.join(map(repr, self.names()))}.")
        return text

    def complete(self, incomplete: str) -> list[str]:
        """What may be typed: every name that goes on from `incomplete`, or from what follows its last comma."""
        before, comma, last = incomplete.rpartition(",")
        return [before + comma + name for name in self.names() if name.startswith(last)]


@functools.cache
def docs(group: type) -> dict[str, str]:
    """Field → what the docstring of the dataclass, or of one of its bases, says of it under `Args:`."""
    found: dict[str, str] = {}
    for base in reversed(group.__mro__):
        _, _, listed = inspect.cleandoc(base.__doc__ or "").partition("Args:\n")
        for name, text in re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", listed, re.MULTILINE):
            found[name] = " ".join(text.split())
    return found
