"""`vitrail log` and `vitrail export`: what was found, for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.options import Json, Out, StudyFolder
from vitrail.cli.terminal import print_json, say


@command(panel="In one go")
def log(
    folder: Annotated[Path, typer.Argument(metavar="PATH", help="A study, a comparison, a steering or a fine-tune.")],
    to: Annotated[str, typer.Option("--to", help="`tensorboard:FOLDER`, `mlflow:URI` or `wandb:PROJECT`.")],
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Log small pictures of the data, too.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Logs an artifact to an experiment tracker: its scores, how it was made, and its concepts with pictures.

    Examples:
        vitrail log studies/dog --to tensorboard:runs
        vitrail log studies/dog --to mlflow:http://localhost:5000 --no-pictures
    """
    from vitrail.sharing import log_to, summary_of

    summary = summary_of(folder, pictures=pictures)
    where = log_to(to, summary)
    if as_json:
        print_json({"where": where, "scores": summary.scores})
        return
    say(f"{len(summary.scores)} scores and {len(summary.entries)} rows of {folder}: {where}")


@command(panel="In one go")
def export(
    folder: StudyFolder,
    to: Annotated[str, typer.Option("--to", help="`fiftyone` or `evidently`.")],
    out: Out,
    as_json: Json = False,
) -> None:
    """A study as files of another tool: FiftyOne (images with their concepts), Evidently (a table for drift).

    The files hold small pictures (FiftyOne) and captions of the data.

    Examples:
        vitrail export studies/dog --to fiftyone --out exported/dog
        vitrail export studies/dog --to evidently --out exported/table
    """
    from vitrail.sharing import export as run
    from vitrail.studies import open_study

    path = run(open_study(folder), to, out=out)
    if as_json:
        print_json({"file": str(path)})
        return
    say(f"Open {path}")
