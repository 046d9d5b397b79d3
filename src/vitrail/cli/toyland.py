"""`vitrail toyland`."""

from __future__ import annotations

from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.options import Json, Out
from vitrail.cli.terminal import print_json, progress_bars, say


@command(panel="Before you start")
def toyland(
    out: Out,
    samples: Annotated[int, typer.Option(min=10, help="How many scenes.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed has other scenes.")] = 0,
    as_json: Json = False,
) -> None:
    """The bundled world as a data set: COCO captions, VQAv2 questions, and the factors of every scene.

    Example:
        vitrail toyland --out toyland --samples 1000 --seed 7
    """
    from vitrail.toyland.dataset import write_dataset

    with progress_bars() as progress:
        folder = write_dataset(out, samples, seed, progress)
    if as_json:
        print_json({"folder": str(folder), "samples": samples, "seed": seed})
    else:
        say(f"{samples} scenes are in {folder}")
