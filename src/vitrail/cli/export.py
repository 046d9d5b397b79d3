"""`vitrail export`: a study as files of another tool."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.options import Json, Out, StudyFolder
from vitrail.cli.terminal import print_json, say


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
