"""`vitrail run`: a file of steps, each a command with its options."""

from __future__ import annotations

import difflib
import functools
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from vitrail.cli.application import app, command
from vitrail.cli.options import PlanOnly
from vitrail.cli.recording import entry_of
from vitrail.cli.terminal import say, tell
from vitrail.errors import UsageError, VitrailError

#: The entry of a step that names its command.
NAME = "run"
#: Commands that are no steps.
NO_STEPS = frozenset({"run"})


@dataclass(frozen=True)
class Step:
    """A command as it is typed.

    Args:
        words: its name: `("steer", "make")`.
        typed: its options and arguments.
        where: the place in the file, for messages.
    """

    words: tuple[str, ...]
    typed: tuple[str, ...]
    where: str

    def __str__(self) -> str:
        return shlex.join(["vitrail", *self.words, *self.typed])


@command(panel="In one go", name="run")
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A TOML file of steps.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the file, print the commands, and run none.")
    ] = False,
    plan: PlanOnly = False,
) -> None:
    """Runs the steps of a file, one after the other: a whole line of work as one text that can be kept and shared.

    A step is a table `[[step]]`. Its entry `run` names a command; each other entry is an option or argument of that
    command, by its name: `word = "dog"`, `layers = [6, 8]`, `noise = false`. Entries above the first step hold for
    every step that has such an option. All steps are checked before the first one runs. Run again, it keeps what is
    finished.

    --plan plans one step after the other. A step that reads what an earlier one has yet to write is named, and planned
    once that is there.

    Examples:
        vitrail run study.toml
        vitrail run study.toml --dry-run
        vitrail run study.toml --plan
    """
    steps = steps_of(file)
    for step in steps:
        _parsed(step)
    for n, step in enumerate(steps, 1):
        if dry_run:
            say(str(step))
            continue
        (say if plan else tell)(f"Step {n} of {len(steps)}: {step}")
        if plan:
            _plan(step, steps[: n - 1])
            continue
        with _parsed(step) as parsed:
            parsed.command.invoke(parsed)


def _plan(step: Step, earlier: Sequence[Step]) -> None:
    """Plans a step, or says why it cannot be planned yet, or need not be."""
    if "plan" not in _parameters(step.words):
        say("It runs no model.")
        return
    written = [path for one in earlier for path in _places(one, "--out=")]
    waits = any(place == path or path in place.parents for place in _places(step, "--") for path in written)
    try:
        with _parsed(replace(step, typed=("--plan", *step.typed))) as parsed:
            parsed.command.invoke(parsed)
    except VitrailError as error:
        if not waits:
            raise
        say(f"It is planned once an earlier step has run: {error}")


def _places(step: Step, option: str) -> list[Path]:
    """The paths that its arguments may be, and the values of its options that begin with `option`."""
    chosen = [text for text in step.typed if not text.startswith("-") or text.startswith(option)]
    return [Path(text.partition("=")[2] if text.startswith("-") else text) for text in chosen]


def steps_of(file: Path) -> list[Step]:
    """The steps of a file; what they are given is named by its options, but not yet read.

    Raises:
        UsageError: the file cannot be read, is no TOML, or has an entry that no command takes.
    """
    entries = _read(file)
    tables = entries.pop("step", None)
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UsageError(
            f'{file} has no steps. A step is a table [[step]] with an entry {NAME}, such as {NAME} = "study".'
        )
    unused = set(entries)
    steps = []
    for n, table in enumerate(tables, 1):
        where = f"{file}, step {n}"
        words = _words(table, where)
        known = _parameters(words)
        shared = {name: value for name, value in entries.items() if name in known}
        unused -= shared.keys()
        given = {**shared, **{name: value for name, value in table.items() if name != NAME}}
        steps.append(Step(words, tuple(_typed(given, known, f"{where}, {' '.join(words)}")), where))
    if unused:
        raise UsageError(f"{file}: no step takes {', '.join(map(repr, sorted(unused)))}.")
    return steps


def _read(file: Path) -> dict[str, Any]:
    import msgspec

    try:
        return msgspec.toml.decode(file.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is no TOML: {error}.") from error


def _words(table: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """The name of the command of a step."""
    named = table.get(NAME)
    known = [" ".join(words) for words in _commands()]
    if named not in known:
        raise UsageError(f"{where}: {NAME} = {named!r} is no command. {_meant(str(named), known)}")
    return tuple(str(named).split())


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"Did you mean {near[0]!r}?" if near else f"It may be {', '.join(known)}."


@functools.cache
def _commands() -> dict[tuple[str, ...], Any]:
    """Name → command, of every command that may be a step."""

    def below(group: Any, words: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], Any]]:
        for name, found in group.commands.items():
            if hasattr(found, "commands"):
                yield from below(found, (*words, name))
            elif name not in NO_STEPS:
                yield (*words, name), found

    return dict(below(typer.main.get_command(app), ()))


def _parameters(words: tuple[str, ...]) -> dict[str, Any]:
    """Entry → the parameter of a command: options by their names, arguments by what the help calls them."""
    found = {}
    for parameter in _commands()[words].params:
        if parameter.param_type_name == "argument":
            found[entry_of(parameter)] = parameter
        elif parameter.name != "help":
            found |= {option.lstrip("-"): parameter for option in parameter.opts}
    return found


def _typed(given: Mapping[str, Any], known: Mapping[str, Any], where: str) -> Iterable[str]:
    """Entries as they would be typed: options first, arguments behind `--`."""
    arguments: list[str] = []
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"{where} has no option {name!r}. {_meant(name, known)}")
        parameter = known[name]
        if parameter.param_type_name == "argument":
            arguments += [_text(v, name, where) for v in (value if isinstance(value, list) else [value])]
        elif getattr(parameter, "is_flag", False):
            yield from _flag(parameter, value, name, where)
        else:
            option = next(option for option in parameter.opts if option.lstrip("-") == name)
            start = f"{option}=" if option.startswith("--") else option
            values = value if parameter.multiple and isinstance(value, list) else [value]
            yield from (f"{start}{_text(v, name, where)}" for v in values)
    if arguments:
        yield from ("--", *arguments)


def _flag(parameter: Any, value: Any, name: str, where: str) -> Iterable[str]:
    if not isinstance(value, bool):
        raise UsageError(f"{where}: {name} is true or false, not {value!r}.")
    off = [o for o in parameter.secondary_opts if o.startswith("--")]
    if value:
        yield f"--{name}"
    elif off:
        yield off[0]


def _text(value: Any, name: str, where: str) -> str:
    """A value as it is typed; several values by commas."""
    if isinstance(value, list):
        return ",".join(_text(v, name, where) for v in value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UsageError(f"{where}: {name} is a text or a number, not {value!r}.")
    return str(value)


def _parsed(step: Step) -> Any:
    """The context of a step: its options are read, as those that are typed are.

    Raises:
        UsageError: one of them cannot be.
    """
    made = _commands()[step.words]
    try:
        return made.make_context(" ".join(step.words), list(step.typed))
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        raise UsageError(f"{step.where}, {' '.join(step.words)}: {error.format_message()}") from error
