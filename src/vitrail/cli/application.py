"""The application that commands are added to, and how a command takes groups of options."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields, is_dataclass
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

Command = TypeVar("Command", bound=Callable[..., None])

app = typer.Typer(
    name="vitrail",
    help="Opens large multimodal models: the concepts behind a word, in words and in pictures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Without:
    """`Annotated[ModelChoice, Without("adapter")]`: the fields of a group that a command does not offer as options."""

    def __init__(self, *names: str) -> None:
        self.names = frozenset(names)


class OneOf:
    """A parser for the name of something in a registry: `Annotated[str, typer.Option(parser=OneOf(read_names))]`.

    The registry is read when it is needed, for a value or for the help of the command: to import it takes seconds.
    """

    __name__ = "name"  # Typer's type of the option

    def __init__(self, names: Callable[[], Iterable[str]]) -> None:
        self.names = names

    def __call__(self, text: str) -> str:
        """The name, if the registry has it.

        Raises:
            typer.BadParameter: the registry has no such name.
        """
        known = tuple(self.names())
        if text not in known:
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, known))}.")
        return text


class ListingCommand(TyperCommand):
    """A command whose help lists the names that its options with `OneOf` take."""

    parsers: ClassVar[dict[str, OneOf]] = {}

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for parameter in self.params:
            if parser := self.parsers.get(str(parameter.name)):
                parameter.metavar = f"[{'|'.join(parser.names())}]"
        super().format_help(ctx, formatter)


def command(to: typer.Typer = app, name: str | None = None) -> Callable[[Command], Command]:
    """A decorator that adds a function to `to` as a command; the function itself stays as it is.

    A parameter of the function may be a group of options: a dataclass whose fields are options of Typer. On the command
    line each field is an option of its own; the function gets the group back as one value.

        @dataclass(frozen=True, kw_only=True)
        class DataChoice:
            data: Annotated[str, typer.Option(help="Where the samples are.")] = "toyland"
            limit: Annotated[int | None, typer.Option(help="At most so many.")] = None

        @command()
        def count(data: DataChoice, as_json: Json = False) -> None: ...  # vitrail count --data … --limit … --json

    A command that does not offer all options of a group leaves some out (see `Without`); they keep their defaults. One
    with another default or another help inherits from the group and declares that field again. Typer itself has no
    groups (its issues 153 and 154).

    Raises:
        TypeError: two options of the command have the same name.
    """

    def add(function: Command) -> Command:
        single = with_single_options(function)
        parsers = {
            option.name: parser
            for option in inspect.signature(single).parameters.values()
            for metadata in getattr(option.annotation, "__metadata__", ())
            if isinstance(parser := getattr(metadata, "parser", None), OneOf)
        }
        to.command(name, cls=type("Listing", (ListingCommand,), {"parsers": parsers}))(single)
        return function

    return add


def with_single_options(function: Callable[..., None]) -> Callable[..., None]:
    """A function that takes the fields of `function`'s groups one by one, as Typer reads them from its signature."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    groups = {p.name: (get_group(p), options_of(p)) for p in parameters if get_group(p)}
    options = [option for p in parameters for option in (groups[p.name][1] if p.name in groups else [p])]
    names = [option.name for option in options]
    if twice := {name for name in names if names.count(name) > 1}:
        raise TypeError(f"{function.__name__} has the options {', '.join(sorted(twice))} twice.")

    @functools.wraps(function)
    def _call(**values: Any) -> None:
        made = {name: group(**{o.name: values.pop(o.name) for o in own}) for name, (group, own) in groups.items()}
        function(**made, **values)

    keyword = inspect.Parameter.KEYWORD_ONLY  # so that options without a default may follow options with one
    _call.__signature__ = inspect.Signature([o.replace(kind=keyword) for o in options])  # type: ignore[attr-defined]
    _call.__annotations__ = {option.name: option.annotation for option in options}
    return _call


def get_group(parameter: inspect.Parameter) -> Any:
    """The dataclass that is the type of a parameter; None where its type is no dataclass."""
    annotation = parameter.annotation
    group = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return group if is_dataclass(group) else None


def options_of(parameter: inspect.Parameter) -> list[inspect.Parameter]:
    """The fields of a parameter's group as single parameters, without those that it leaves out."""
    group = get_group(parameter)
    types = get_type_hints(group, include_extras=True)
    metadata = getattr(parameter.annotation, "__metadata__", ())
    left_out = frozenset().union(*(m.names for m in metadata if isinstance(m, Without)))
    return [
        inspect.Parameter(
            f.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if f.default is MISSING else f.default,
            annotation=types[f.name],
        )
        for f in fields(group)
        if f.name not in left_out
    ]


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("vitrail"))
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from, and what happens.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("vitrail").setLevel(logging.DEBUG if debug else logging.WARNING)
    os.environ.setdefault("HF_HUB_VERBOSITY", "info" if debug else "error")  # we say once that a hub cannot be reached
    logging.getLogger("vitrail.extraction").setLevel(logging.DEBUG if debug else logging.INFO)  # what a run will need
