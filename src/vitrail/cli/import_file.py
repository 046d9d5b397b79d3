"""`vitrail import`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import DataSource, ModelChoice
from vitrail.cli.derived import Named, Without
from vitrail.cli.options import Json
from vitrail.cli.terminal import print_json, progress_bars, say
from vitrail.importing.options import ImportOptions


@command(name="import", panel="Step by step")
def import_file(
    *,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A .pth, .pt or .pkl of the research code; a dictionary of SAELens."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to write, or for a list of ids a text file.")],
    told: Annotated[ImportOptions, Named(applied_at="--positions")],
    model: Annotated[ModelChoice, Without("prompt")],
    data: Annotated[DataSource, Without("images", "max_side", "max_ratio")],
    as_json: Json = False,
) -> None:
    """A file of the published research code (xl-vlms, learn-to-steer), or a dictionary of SAELens (a folder with
    cfg.json and sae_weights.safetensors), as an artifact in OUT; nothing in it is run.

    Features become activations, an analysis concepts, vectors and networks a steering, lists of ids a text file. Of a
    dictionary those features become concepts that are most active on the states in --activations. The command says
    what the file holds and what it lacks.

    Examples:
        vitrail import features.pth --model llava-hf/llava-1.5-7b-hf --word dog --out studies/dog/activations
        vitrail import analysis.pth --activations studies/dog/activations --out studies/dog/concepts
        vitrail import vectors.pth --model llava-hf/llava-1.5-7b-hf --layer 31 --key steering_vector --out steer/red
        vitrail import ids.pkl --key red --out red.txt
        vitrail import sae/blocks.16 --activations studies/dog/activations --layer 16 --out studies/dog/concepts
    """
    from vitrail.runs.import_file import import_file as run

    with progress_bars() as progress:
        made = run(file, told, out=out, model=lambda: model.load(progress), samples=lambda: data.load(progress))
    if as_json:
        print_json({**asdict(made), "folder": str(made.folder)})
        return
    say(f"{file} holds {made.kind}: {'; '.join(made.found)}. It is in {made.folder}.")
    if made.missing:
        say(f"The file does not say: {'; '.join(made.missing)}.")
