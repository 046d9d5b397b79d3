"""`vitrail share`: one dictionary over several words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import StudyModel
from vitrail.cli.derived import Named, Without
from vitrail.cli.options import Json, Out, PlanOnly
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, say, show_rows
from vitrail.concepts.options import LearningOptions
from vitrail.grounding.options import GroundingOptions


@command(panel="Step by step")
def share(
    *,
    studies: Annotated[list[Path], typer.Argument(metavar="STUDY…", help="Folders of studies, or one of many words.")],
    out: Out,
    learning: Annotated[LearningOptions, Without("method", "form")],
    grounding: Annotated[GroundingOptions, Without("own_word"), Named(n_samples="--images-per-concept")],
    model: StudyModel,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """One dictionary over the words of several studies: the same concepts for all, and how each word uses them.

    Writes OUT/shared.html, and the concepts and the grounding of each word into OUT/words/WORD.

    Examples:
        vitrail share studies/dog studies/cat studies/boat --concepts 40 --out shared/animals
        vitrail share studies/nouns --concepts auto --named snow,umbrella/parasol --out shared/nouns
    """
    from vitrail.concepts import check_shared
    from vitrail.runs.share import share_parts, states_of

    grounding.check_lens()
    parts = states_of(studies)
    check_shared(parts, learning)
    with progress_bars() as progress:
        lmm = model.load(parts[0])
        if plan:
            show_plan(
                lambda some, to: share_parts(some, learning, grounding, out=to, lmm=lmm),
                parts,
                out=out,
                as_json=as_json,
                first=2,
                what="words",
            )
            return
        made = share_parts(parts, learning, grounding, out=out, lmm=lmm, progress=progress)
    if as_json:
        from vitrail.artifacts import plain

        found = made.concepts
        told = {"named": [one.name for one in found.named], "choice": found.choice and found.choice.reason}
        print_json({"folder": str(out), "uses": plain(found.uses), "stability": found.stability, **told})
        return
    from vitrail.reports.shared import title_of, use_matrix

    if made.concepts.choice is not None:
        say(made.concepts.choice.reason)
    strengths = use_matrix(made.concepts).T
    titles = [f"{k}: {title_of(made.groundings, k)}" for k in range(len(made.concepts))]
    rows = [(title, *(f"{s:.2f}" for s in uses)) for title, uses in zip(titles, strengths, strict=True)]
    show_rows(("concept", *made.concepts.words), rows)
    say(f"Strengths: 1 is as much as words have on average. The page is {made.page}")
