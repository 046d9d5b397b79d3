"""`vitrail learn`: concepts, or with `--sweep` how they change with their number and sparsity."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import StudyModel
from vitrail.cli.derived import Named, Without
from vitrail.cli.options import Json, OfWord, PlanOnly, StudyFolder
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, say, show_rows
from vitrail.cli.unused import refuse
from vitrail.concepts.options import LearningOptions
from vitrail.sweep.options import SweepOptions
from vitrail.work.options import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from vitrail.activations import Activations
    from vitrail.concepts import Choice, Overlap
    from vitrail.lmm import LMM


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
    word: OfWord = None,
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
        typer.Option(
            "--words/--no-words",
            help="Load the model for --sweep and --concepts auto, to weigh how concepts share words.",
        ),
    ] = True,
    model: StudyModel,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """Concepts of the states in STUDY/activations, into STUDY/concepts.

    Examples:
        vitrail learn studies/dog --concepts 20
        vitrail learn studies/dog --concepts auto
        vitrail learn studies/animals --word cat
        vitrail learn studies/dog --sweep --try-concepts 10,20,40 --no-words
    """
    from vitrail.activations import open_activations, study_folder
    from vitrail.artifacts import beside, check_ours

    weighs = words and learning.n_concepts == "auto"
    if sweep:
        fields = ("n_concepts", "penalty", "stability", "consensus", "named")
        refuse("is not for --sweep, which learns with several K and λ", "at", *(f"learning.{name}" for name in fields))
    else:
        refuse("is for --sweep", "trying.n_concepts", "trying.penalties")
    if at.engine == "local":
        refuse("is for --engine ray", "at.address")
    if not (weighs or (sweep and words)):
        refuse("is for the model that --sweep and --concepts auto load to weigh words", "trying.language", "model")
    if not (sweep or learning.n_concepts == "auto"):
        refuse("is for --sweep and --concepts auto", "words")
    folder = study_folder(folder, word)
    activations = open_activations(folder / "activations")
    if sweep:
        from vitrail.sweep import check_sweep

        options = replace(trying, layer=learning.layer, method=learning.method, seed=learning.seed, form=learning.form)
        check_ours(beside("sweep", folder / "sweep"))
        check_sweep(activations, options)
        lmm = model.load(activations) if words else None
        if plan:
            _plan_sweep(activations, options, folder, lmm, as_json)
        else:
            _sweep(activations, options, folder / "sweep", lmm, as_json)
    else:
        learning.learner()  # fails before a model is loaded
        overlap = None
        if weighs:
            from vitrail.grounding import GroundingOptions, overlap_of

            read = GroundingOptions(language=trying.language)
            overlap = overlap_of(model.load(activations), activations, learning, read)
        if plan:
            from vitrail.concepts import learn_as

            show_plan(
                lambda _, to: learn_as(
                    activations, learning, out=to, engine=at.engine, address=at.address, overlap_of=overlap
                ),
                [folder],
                out=folder,
                as_json=as_json,
                what="studies",
            )
        else:
            _learn(activations, learning, folder, at, overlap, as_json)


def _learn(
    activations: Activations,
    options: LearningOptions,
    folder: Path,
    at: EngineChoice,
    overlap: Overlap | None,
    as_json: bool,
) -> None:
    from vitrail.artifacts import plain
    from vitrail.concepts import learn_as
    from vitrail.concepts.verdicts import of_concepts

    with progress_bars() as progress:
        progress("learn", 0, 1)
        made = learn_as(
            activations,
            options,
            out=folder / "concepts",
            engine=at.engine,
            address=at.address,
            overlap_of=overlap,
            progress=progress,
        )
        progress("learn", 1, 1)
    if made.choice is not None:
        from vitrail.sweep import write_sweep

        write_sweep(made.choice, made.options, len(made.V), folder / "sweep")
    if as_json:
        print_json(
            {
                "folder": str(made.folder),
                "parameters": made.parameters,
                "scores": made.scores,
                "verdict": plain(of_concepts(made)),
                "stability": made.stability,
                "choice": None if made.choice is None else _plain_choice(made.choice),
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
        if made.choice is not None:
            say(f"Why so many: {made.choice.reason}\nThe alternatives are drawn in {folder / 'sweep' / 'sweep.svg'}")


def _plan_sweep(activations: Activations, options: SweepOptions, folder: Path, lmm: LMM | None, as_json: bool) -> None:
    """Plans a sweep by its largest numbers of concepts, which take longest: the others are thought to take as long."""
    from vitrail.sweep import sweep

    show_plan(
        lambda some, to: sweep(activations, replace(options, n_concepts=tuple(some)), out=to, lmm=lmm),
        sorted(options.n_concepts, reverse=True),
        out=folder,
        as_json=as_json,
        first=1,
        what="numbers of concepts",
    )


def _sweep(activations: Activations, options: SweepOptions, out: Path, lmm: LMM | None, as_json: bool) -> None:
    from vitrail.sweep import sweep

    with progress_bars() as progress:
        choice = sweep(activations, options, out=out, lmm=lmm, progress=progress)
    if as_json:
        print_json(_plain_choice(choice))
    else:
        _show(choice)
        say(f"{choice.reason}\nThe plot is {out / 'sweep.svg'}")


def _plain_choice(choice: Choice) -> dict[str, Any]:
    from vitrail.artifacts import plain

    return {
        "reason": choice.reason,
        "chosen": plain(choice.chosen),
        "tried": [{**plain(tried), "verdict": plain(tried.verdict)} for tried in choice.tried],
    }


def _show(choice: Choice) -> None:
    from vitrail.scores.verdicts import number

    rows = []
    for t in choice.tried:
        mark = "→" if t == choice.chosen else ""
        measured = (t.auroc.mean, t.explained_variance, t.stability_seeds, t.stability_resamples, t.word_overlap)
        follows = "; ".join(map(str, t.verdict.values()))
        rows.append((mark, t.name, *(number(value, 2) for value in measured), follows))
    heads = ("", "choice", "words told", "explained", "stability: seeds", "resamples", "word overlap", "what follows")
    show_rows(heads, rows)
