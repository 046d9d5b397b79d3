"""What the commands of `vitrail monitor` share: their group."""

from __future__ import annotations

import typer

from vitrail.cli.application import app

monitoring = typer.Typer(
    no_args_is_help=True, help="Watch a model at work: the concepts behind the words that it says."
)
app.add_typer(monitoring, name="monitor", rich_help_panel="Measure and compare")
