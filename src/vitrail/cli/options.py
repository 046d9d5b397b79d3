"""Options that commands share and that belong to no group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder, or a URL (s3://…).")]

OfWord = Annotated[
    str | None, typer.Option("--word", help="The word, where STUDY holds the states of many (`vitrail extract`).")
]

EvidenceFolder = Annotated[
    Path | None,
    typer.Option("--evidence", help="Also say how far the concepts speak for the word (`vitrail monitor evidence`)."),
]


def folder_to_write(path: Path | None) -> Path | None:
    """The folder that an option names, if it may be written."""
    from vitrail.artifacts import check_target, url_of

    if path is not None and url_of(path) is None:
        check_target(path)
    return path


def file_to_write(path: Path | None) -> Path | None:
    """The file that an option or argument names, if it may be written."""
    from vitrail.artifacts import check_target, url_of

    if path is not None and url_of(path) is None:
        check_target(path, folder=False)
    return path


Out = Annotated[
    Path,
    typer.Option(
        "--out", callback=folder_to_write, help="Folder to write, or a URL (s3://…); what is finished in it is kept."
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Overwrite a report or a summary that Vitrail did not write, or that was changed."
    ),
]
PlanOnly = Annotated[
    bool,
    typer.Option(
        "--plan",
        help="Say what it will take (time, disk, memory), from rehearsals on the first samples; keep nothing.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
