"""`vitrail merge`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.options import Json, folder_to_write
from vitrail.cli.terminal import print_json, say


@command(panel="Step by step")
def merge(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="PATH…", help="The folder that all ranks wrote to; or those of the ranks, with --out."),
    ],
    out: Annotated[
        Path | None,
        typer.Option("--out", callback=folder_to_write, help="Folder to write; one PATH is completed where it is."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Completes what the ranks of `vitrail extract` or `vitrail say` made: the same as from a single process.

    Parts of different runs, two ranks of one number and missing ranks are refused by name.

    Examples:
        vitrail merge studies/dog
        vitrail merge ranks/0 ranks/1 --out studies/dog
    """
    from vitrail.activations import WordStore
    from vitrail.extraction import merge as run
    from vitrail.saying import Texts

    made = run(*folders, out=out)
    folder = made.path if isinstance(made, Texts) else made.folder
    kept = sum(made.kept.values()) if isinstance(made, WordStore) else len(made)
    if as_json:
        print_json({"folder": str(folder), "kept": kept})
    else:
        say(f"Complete: {kept} {'texts' if isinstance(made, Texts) else 'states'}; they are in {folder}")
