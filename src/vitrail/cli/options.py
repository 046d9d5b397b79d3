"""Options that commands share and that belong to no group."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write; what is finished in it is kept.")]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Overwrite a report or a summary that Vitrail did not write, or that was changed."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
