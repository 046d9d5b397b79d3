"""`vitrail atlas`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitrail.cli.application import command
from vitrail.cli.choices import StudyModel
from vitrail.cli.derived import Named, Without
from vitrail.cli.options import Json, Overwrite, PlanOnly
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, say, show_rows
from vitrail.concepts.options import LearningOptions
from vitrail.grounding.options import GroundingOptions


@command(panel="In one go")
def atlas(
    *,
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="States of many words: `vitrail extract`.")],
    words: Annotated[str, typer.Option("--word", help="Only these words, by commas; all by default.")] = "",
    learning: Annotated[LearningOptions, Without("consensus")],
    grounding: Annotated[GroundingOptions, Without("own_word"), Named(n_samples="--images-per-concept")],
    model: StudyModel,
    overwrite: Overwrite = False,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """Concepts and a report of every word in FOLDER, and FOLDER/atlas.html, which lists them.

    Examples:
        vitrail atlas studies/nouns --concepts 10
        vitrail atlas studies/nouns --word dog,cat
    """
    from vitrail.activations import open_words
    from vitrail.artifacts import make_way, plain

    grounding.check_lens()
    store = open_words(folder)
    chosen = [word.strip() for word in words.split(",") if word.strip()]
    some = [store.of(word) for word in chosen or [w.text for w in store.words]]
    from vitrail.runs.atlas import atlas as run
    from vitrail.runs.atlas import files_of

    if overwrite and not plan:
        make_way(files_of(store, chosen))
    with progress_bars() as progress:
        lmm = model.load(some[0])
        if plan:
            show_plan(
                lambda some, to: run(
                    lmm, store.beside(to), words=some, learning=learning, grounding=grounding, progress=False
                ),
                chosen or [w.text for w in store.words],
                out=folder,
                as_json=as_json,
                first=1,
                what="words",
            )
            return
        made = run(lmm, store, words=chosen, learning=learning, grounding=grounding, progress=progress)
    if as_json:
        print_json({"page": str(made.page), "entries": plain(list(made.entries))})
        return
    rows = [
        (
            e.word,
            e.n_samples,
            e.n_concepts or "–",
            _share(e.explained_variance),
            _share(e.stability),
            "; ".join(e.titles),
        )
        for e in made.entries
    ]
    show_rows(("word", "samples", "concepts", "explained", "stability", "largest concepts"), rows)
    say(f"The page is {made.page}")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
