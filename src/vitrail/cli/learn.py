"""`vitrail learn`: concepts, or with `--sweep` how they change with their number and sparsity."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import StudyModel
from vitrail.cli.derived import Named, Without
from vitrail.cli.options import Json, StudyFolder
from vitrail.cli.terminal import print_json, progress_bars, say, show_rows
from vitrail.concepts.options import Engine, LearningOptions
from vitrail.sweep.options import SweepOptions

if TYPE_CHECKING:
    from pathlib import Path

    from vitrail.activations import Activations
    from vitrail.lmm import LMM
    from vitrail.sweep import SweepPoint


@dataclass(frozen=True, kw_only=True)
class EngineChoice:
    """Where concepts are learned.

    Args:
        engine: `ray`: on many machines (pip install 'vitrail[ray]').
        address: of a running Ray cluster; one on this machine by default.
    """

    engine: Engine = "local"
    address: str | None = None


@command(panel="Step by step")
def learn(
    *,
    folder: StudyFolder,
    learning: LearningOptions,
    at: EngineChoice,
    sweep: Annotated[
        bool,
        typer.Option("--sweep", help="Do not learn, but draw what changes with K and λ, into STUDY/sweep."),
    ] = False,
    trying: Annotated[
        SweepOptions,
        Without("layer", "method", "seed", "n_runs", "n_words", "form"),
        Named(n_concepts="--try-concepts", penalties="--try-penalties"),
    ],
    words: Annotated[
        bool,
        typer.Option("--words/--no-words", help="Load the model for --sweep, to measure how concepts share words."),
    ] = True,
    model: StudyModel,
    as_json: Json = False,
) -> None:
    """Concepts of the states in STUDY/activations, into STUDY/concepts.

    Examples:
        vitrail learn studies/dog --concepts 20
        vitrail learn studies/dog --sweep --try-concepts 10,20,40 --no-words
    """
    from vitrail.activations import open_activations

    activations = open_activations(folder / "activations")
    if sweep:
        from vitrail.sweep import check_sweep

        options = replace(trying, layer=learning.layer, method=learning.method, seed=learning.seed, form=learning.form)
        check_sweep(activations, options)
        lmm = model.load(activations) if words else None
        _sweep(activations, options, folder / "sweep", lmm, as_json)
    else:
        _learn(activations, learning, folder / "concepts", at, as_json)


def _learn(activations: Activations, options: LearningOptions, out: Path, at: EngineChoice, as_json: bool) -> None:
    from vitrail.artifacts import plain
    from vitrail.concepts import learn_as
    from vitrail.concepts.verdicts import of_concepts

    with progress_bars() as progress:
        progress("learn", 0, 1)
        made = learn_as(activations, options, out=out, engine=at.engine, address=at.address, progress=progress)
        progress("learn", 1, 1)
    if as_json:
        print_json(
            {
                "folder": str(made.folder),
                "parameters": made.parameters,
                "scores": made.scores,
                "verdict": plain(of_concepts(made)),
                "stability": made.stability,
                "dropped": made.manifest["dropped"],
            }
        )
    else:
        say(
            f"{len(made)} concepts explain {made.scores['explained_variance']:.1%} of the variance "
            f"with {made.scores['active']:.1f} active per sample; they are in {made.folder}"
        )
        for verdict in of_concepts(made).values():
            say(f"  {verdict}")


def _sweep(activations: Activations, options: SweepOptions, out: Path, lmm: LMM | None, as_json: bool) -> None:
    from vitrail.artifacts import plain
    from vitrail.sweep import sweep

    with progress_bars() as progress:
        points = sweep(activations, options, out=out, lmm=lmm, progress=progress)
    if as_json:
        print_json([{**asdict(point), "verdict": plain(point.verdict)} for point in points])
    else:
        _show(points)
        say(f"The plot is {out / 'sweep.svg'}")


def _show(points: list[SweepPoint]) -> None:
    rows = []
    for p in points:
        penalty = "–" if p.penalty is None else f"{p.penalty:g}"
        overlap = "–" if p.word_overlap is None else f"{p.word_overlap:.2f}"
        measured = (p.explained_variance, p.zeros, p.stability_seeds, p.stability_resamples)
        follows = "; ".join(map(str, p.verdict.values()))
        rows.append((p.n_concepts, penalty, *(f"{value:.2f}" for value in measured), overlap, follows))
    heads = ("concepts", "λ", "explained", "zeros", "stability: seeds", "resamples", "word overlap", "what follows")
    show_rows(heads, rows)
