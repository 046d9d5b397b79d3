"""`vitrail serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import StudyModel
from vitrail.cli.terminal import say
from vitrail.serving.options import ServeOptions


@command(panel="In one go")
def serve(
    *,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A study, or a folder with some anywhere below.")],
    serving: ServeOptions,
    model: StudyModel,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the viewer in the browser.")] = False,
) -> None:
    """Studies, comparisons, steerings and watches in the browser: see, ask, compare and steer, on this machine.

    It listens to this machine alone. --host with another address answers other machines; then a token is in the
    address that is printed, and without it nobody is answered. Ctrl-C stops it.

    Examples:
        vitrail serve vitrail-demo
        vitrail serve studies --edit
    """
    from vitrail.serving.run import serve as run

    def ready(address: str) -> None:
        say(f"The viewer is at {address}")
        if open_browser:
            typer.launch(address)

    run(
        folder,
        serving,
        model=model.model,
        device=model.device,
        trust_remote_code=model.trust_remote_code,
        ready=ready,
    )
