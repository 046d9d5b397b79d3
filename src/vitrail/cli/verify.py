"""`vitrail verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.options import Json
from vitrail.cli.terminal import print_json, say, show_rows

#: What is wrong enough for exit code 1.
WRONG = ("damaged", "missing")


@command(panel="Before you start")
def verify(
    folder: Annotated[Path, typer.Argument(metavar="PATH", help="A study, or any other folder of Vitrail's.")],
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Move what is damaged aside, so that the command that made it makes it again."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Whether everything in a folder is as it was written: each file against its hash.

    A folder with something damaged or missing ends with exit code 1.

    Examples:
        vitrail verify studies/dog
        vitrail verify studies/dog --repair
    """
    from vitrail.artifacts import verify as run
    from vitrail.artifacts import writing
    from vitrail.artifacts.checking import repair as set_aside

    found = run(folder)
    moved: list[str] = []
    if repair:
        with writing(folder):
            moved = set_aside(folder, found)
    wrong = [c for c in found if c.condition in WRONG]
    if as_json:
        print_json({"whole": not wrong, "checked": [vars(c) for c in found], "moved": moved})
    else:
        show_rows(("path", "kind", "condition", ""), [(c.path, c.kind, c.condition, c.says) for c in found])
        say(f"{len(wrong)} of {len(found)} are damaged or missing." if wrong else "Everything is as written.")
        for path in moved:
            say(f"Moved aside, or removed: {path}")
    if wrong and not repair:
        raise typer.Exit(1)
