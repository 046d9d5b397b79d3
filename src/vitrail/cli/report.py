"""`vitrail report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.options import Json, OfWord, Overwrite, StudyFolder, file_to_write
from vitrail.cli.terminal import print_json, say


@command(panel="Step by step")
def report(
    folder: StudyFolder,
    word: OfWord = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", callback=file_to_write, help="The HTML file; STUDY/report.html by default."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Data with known factors (`factors.parquet`); by default what the study knows."),
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """One self-contained HTML page of the study in STUDY, with its evaluation where there is one.

    Example:
        vitrail report studies/dog --out dog.html
    """
    from vitrail.activations import study_folder
    from vitrail.artifacts import make_way
    from vitrail.runs.report import REPORT
    from vitrail.runs.report import report as run
    from vitrail.samples.facts import known_facts
    from vitrail.studies import open_study

    folder = study_folder(folder, word)
    if overwrite:
        make_way([folder / REPORT if out is None else out])
    path = run(open_study(folder), out=out, factors=None if data is None else known_facts(data).factors)
    if as_json:
        print_json({"report": str(path)})
    else:
        say(f"The report is {path}")
