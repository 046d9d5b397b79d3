"""The application that commands are added to, and how a command takes groups of options."""

from __future__ import annotations

import functools
import inspect
import logging
import os
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

import typer
from rich.markup import escape
from typer.core import TyperCommand

from vitrail.cli.derived import NameParser, names_of, options_of, parser_of, taken_from
from vitrail.cli.recording import TYPED, command_of
from vitrail.cli.unused import remember
from vitrail.visible import visible

Command = TypeVar("Command", bound=Callable[..., None])

app = typer.Typer(
    name="vitrail",
    help="Opens large multimodal models: the concepts behind a word, in words and in pictures.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


class ListingCommand(TyperCommand):
    """A command whose help lists the names that its options with a `NameParser` take."""

    parsers: ClassVar[dict[str, NameParser]] = {}
    examples: ClassVar[tuple[str, ...]] = ()

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta[TYPED] = list(args)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for parameter in self.params:
            if parser := self.parsers.get(str(parameter.name)):
                parameter.metavar = f"<{'|'.join(parser.names())}>"
        super().format_help(ctx, formatter)


def command(
    to: typer.Typer = app, name: str | None = None, *, panel: str | None = None
) -> Callable[[Command], Command]:
    """A decorator that adds a function to `to` as a command; the function itself stays as it is.

    The help of `to` shows the command under the title `panel`. Its own help is the docstring of the function, which
    ends with examples, as they are typed, under `Example:` or `Examples:`.

    A parameter of the function may be a group of options: a dataclass, each field of which becomes an option of its own
    (see `derived`). The function gets the group back as one value. The help shows its options under the name of the
    parameter.

        @command(panel="Step by step")
        def learn(*, folder: StudyFolder, learning: LearningOptions, as_json: Json = False) -> None: ...

    A command that does not offer all options of a group leaves some out (`Without`); they keep their defaults. One
    with another default inherits from the group and declares that field again. Typer itself has no groups (its issues
    153 and 154).

    Raises:
        TypeError: two options of the command have the same name.
    """

    def add(function: Command) -> Command:
        single = with_single_options(function)
        options = inspect.signature(single).parameters.values()
        parsers = {o.name: parser for o in options if isinstance(parser := parser_of(o), NameParser)}
        text, head, examples = [*re.split(r"\n\n(Examples?):\n", inspect.getdoc(function) or ""), "", ""][:3]
        typed = [" ".join(line.split()) for line in examples.replace("\\\n", "").splitlines()]
        kind = type("Listing", (ListingCommand,), {"parsers": parsers, "examples": tuple(typed)})
        epilog = "\n\n".join([f"[bold]{head}[/]", *map(escape, typed)]) if typed else None
        to.command(name, cls=kind, help=text, rich_help_panel=panel, epilog=epilog)(single)
        return function

    return add


def with_single_options(function: Callable[..., None]) -> Callable[..., None]:
    """A function that takes the fields of `function`'s groups one by one, as Typer reads them from its signature."""
    parameters = inspect.signature(function, eval_str=True).parameters.values()
    groups = {p.name: group for p in parameters if (group := _group(p))}
    options = [o for p in parameters for o in (options_of(groups[p.name], p) if p.name in groups else [p])]
    names = [name for option in options for name in names_of(option)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise TypeError(f"{function.__name__} has the options {', '.join(sorted(twice))} twice.")

    @functools.wraps(function)
    def _call(typer_context: typer.Context | None = None, **values: Any) -> None:
        remember(typer_context)
        made = {name: taken_from(values, name, group) for name, group in groups.items()}
        with ExitStack() as stack:
            here = {name: _here(stack, value, name) for name, value in {**made, **values}.items()}
            if typer_context is not None and function.__name__ != "run":  # the steps of a file are commands themselves
                from vitrail.artifacts.made import made_by

                stack.enter_context(made_by(command_of(typer_context, here.get("out"))))
            function(**here)

    keyword = inspect.Parameter.KEYWORD_ONLY  # so that options without a default may follow options with one
    options.append(inspect.Parameter("typer_context", keyword, annotation=typer.Context))
    _call.__signature__ = inspect.Signature([o.replace(kind=keyword) for o in options])  # type: ignore[attr-defined]
    _call.__annotations__ = {option.name: option.annotation for option in options}
    return _call


def _here(stack: ExitStack, value: Any, name: str) -> Any:
    """A value of an option, with folders here for paths in it that are URLs (`artifacts.at`), while `stack` lasts."""
    if isinstance(value, list):
        return [_here(stack, item, name) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        paths = {f.name: v for f in fields(value) if isinstance(v := getattr(value, f.name), Path)}
        there = {k: _here(stack, v, k) for k, v in paths.items() if ":" in str(v)}
        return replace(value, **there) if there else value
    if not isinstance(value, Path) or ":" not in str(value) or name == "images":  # images are read where they lie
        return value
    from vitrail.artifacts import at

    return stack.enter_context(at(value, write=name == "out"))


def _group(parameter: inspect.Parameter) -> Any:
    """The dataclass that is the type of a parameter; None where its type is no dataclass."""
    annotation = parameter.annotation
    group = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return group if is_dataclass(group) else None


class Visible(logging.Formatter):
    """Log lines without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        from vitrail.cli.terminal import say

        say(version("vitrail"))
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from, and what happens.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(Visible("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[lines])
    logging.getLogger("vitrail").setLevel(logging.DEBUG if debug else logging.WARNING)
    os.environ.setdefault("HF_HUB_VERBOSITY", "info" if debug else "error")  # we say once that a hub cannot be reached
    for name in ("vitrail.extraction", "vitrail.saying", "vitrail.foretold"):  # what a run will need
        logging.getLogger(name).setLevel(logging.DEBUG if debug else logging.INFO)
