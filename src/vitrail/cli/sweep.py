"""`vitrail learn --sweep`: what changes with the number of concepts and the sparsity."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vitrail.cli.objects import to_layer, to_numbers
from vitrail.cli.options import Method
from vitrail.cli.terminal import print_json, progress_bars

if TYPE_CHECKING:
    from vitrail.activations import Activations
    from vitrail.lmm import LMM


def draw_sweep(
    activations: Activations,
    out: Path,
    layer: str | None,
    method: Method,
    seed: int,
    concepts: str,
    penalties: str | None,
    lmm: LMM | None,
    language: str,
    as_json: bool,
) -> None:
    """Runs the sweep and prints what came of it."""
    from vitrail.sweep import sweep

    with progress_bars() as progress:
        points = sweep(
            activations,
            out=out,
            layer=None if layer is None else to_layer(layer),
            method=method.value,
            n_concepts=to_numbers(concepts, int),
            penalties=None if penalties is None else to_numbers(penalties, float),
            seed=seed,
            lmm=lmm,
            language=language,
            progress=progress,
        )
    if as_json:
        print_json([asdict(point) for point in points])
        return
    typer.echo("concepts  λ         explained  zeros  stability (seeds, resamples)  word overlap")
    for p in points:
        penalty = "–" if p.penalty is None else f"{p.penalty:g}"
        overlap = "–" if p.word_overlap is None else f"{p.word_overlap:.2f}"
        typer.echo(
            f"{p.n_concepts:<9} {penalty:<9} {p.explained_variance:<10.2f} {p.zeros:<6.2f} "
            f"{p.stability_seeds:.2f}, {p.stability_resamples:<22.2f} {overlap}"
        )
    typer.echo(f"The plot is {out / 'sweep.svg'}")
