"""What was typed, as `vitrail run` takes it: kept beside what a command writes, and printed as a file of steps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitrail.artifacts.chain import Chain
    from vitrail.artifacts.made import Command

#: Under which name a context keeps the words that were typed behind the command.
TYPED = "vitrail.typed"
#: Options that say nothing of what is made: what is printed, and who does which part of the work.
SILENT = frozenset(
    {"json", "overwrite", "rank", "rank-from-env", "world-size", "engine", "workers", "gpus-per-worker", "address"}
)
#: Options that name a folder or file, or something else that has a name, such as a model on the hub.
PLACES = frozenset({"adapter", "data", "held-out", "image-scorer", "lens", "model", "model-b", "text-scorer"})


def entry_of(parameter: Any) -> str:
    """How a file of steps calls a parameter of a command: an option by its name, an argument as the help does."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name).lower().strip("[]. ")
    return str(parameter.opts[0]).lstrip("-")


def command_of(context: Any, out: Any) -> Command:
    """The command of a context with what was typed; `out` is the folder that it writes, if it is a path."""
    from vitrail.artifacts.made import OUT, Command

    words = str(context.command_path).split()
    grouped = context.parent is not None and context.parent.parent is not None
    name = context.info_name if context.parent is None else " ".join(words[-2:] if grouped else words[-1:])
    typed, _, _ = context.command.make_parser(context).parse_args(args=list(context.meta.get(TYPED, ())))
    given: dict[str, Any] = {}
    places = set()
    for parameter in context.command.params:
        entry, value = entry_of(parameter), typed.get(parameter.name)
        if isinstance(value, str | bool | list | tuple) and entry not in SILENT and entry != OUT:
            given[entry] = list(value) if isinstance(value, tuple) else value
            if _names_a_place(context.params.get(parameter.name), entry):
                places.add(entry)
    folder = out.absolute() if isinstance(out, Path) else None
    return Command(str(name), given, folder, Path.cwd(), frozenset(places))


def _names_a_place(value: Any, entry: str) -> bool:
    """Whether an option names a file or folder; one that may also be a word does where it looks like a path."""
    if isinstance(value, list | tuple):
        return any(_names_a_place(one, entry) for one in value)
    if not isinstance(value, str) or value == "toyland":
        return isinstance(value, Path)
    return entry in PLACES or "/" in value or bool(Path(value).suffix)


def as_toml(chain: Chain) -> str:
    """A file of steps for `vitrail run`, with comments on what it does not make again."""
    lines = [f"# Made with {', '.join(f'{name} {version}' for name, version in chain.versions.items())}."]
    lines += ["# An option that is not named had its default there."]
    lines += [f"# Not made again here: {' '.join(why.split())}." for why in chain.lacks]
    for step in chain.relative():
        lines += ["", "[[step]]", *_entries({"run": step.run, **step.given})]
    return "\n".join(lines) + "\n"


def _entries(given: Mapping[str, Any]) -> Iterator[str]:
    for name, value in given.items():
        yield f"{name} = {_value(value)}"


def _value(value: Any) -> str:
    """A value in TOML; a number that reads as it was typed is a number there."""
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    for kind in (int, float):
        try:
            if str(kind(value)) == value:
                return str(value)
        except (TypeError, ValueError):
            continue
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
