"""What the commands of `vitrail monitor` share: their group, and the reference."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import app

monitoring = typer.Typer(
    no_args_is_help=True, help="Watch a model at work: the concepts behind the words that it says."
)
app.add_typer(monitoring, name="monitor", rich_help_panel="Measure and compare")

_REFERENCE = typer.Option("--reference", help="The reference to compare with, made by `vitrail monitor fit`.")
Reference = Annotated[Path, _REFERENCE]
AnyReference = Annotated[Path | None, _REFERENCE]
