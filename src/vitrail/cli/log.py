"""`vitrail log`: what was found, for an experiment tracker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.options import Json
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
