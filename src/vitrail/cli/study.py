"""`vitrail study` and `vitrail demo`."""

from __future__ import annotations

from pathlib import Path

from vitrail.cli.application import command
from vitrail.cli.choices import (
    DataChoice,
    ExtractionChoice,
    GroundingChoice,
    LearningChoice,
    ModelChoice,
    WordChoice,
)
from vitrail.cli.options import Json, LayerOption, Out, WordText
from vitrail.cli.parsing import to_layer
from vitrail.cli.terminal import print_json, progress_bars, read_json, show_summary


@command()
def study(
    *,
    word: WordChoice,
    out: Out,
    model: ModelChoice,
    data: DataChoice,
    layer: LayerOption = "-1",
    extraction: ExtractionChoice,
    learning: LearningChoice,
    grounding: GroundingChoice,
    as_json: Json = False,
) -> None:
    """From images and a word to grounded concepts and a report, in one go.

    Writes OUT/report.html and OUT/summary.json. A study that was stopped goes on when the same command is run again.
    """
    from vitrail.runs.study import study as run
    from vitrail.runs.study import summary

    states = extraction.options((to_layer(layer),))
    with progress_bars() as progress:
        samples = data.load(progress)
        lmm = model.load(progress)
        made = run(
            lmm,
            samples,
            word.as_word(),
            out=out,
            extraction=states,
            learning=learning.options(),
            grounding=grounding.options(),
            factors=data.facts().factors,
            progress=progress,
        )
    if as_json:
        print_json(read_json(out / "summary.json"))
    else:
        show_summary(summary(made), out)


@command()
def demo(
    out: Out = Path("vitrail-demo"),
    word: WordText = "dog",
    as_json: Json = False,
) -> None:
    """The main job on the bundled model and world: what does it think of when it says “dog”?"""
    study(
        word=WordChoice(word=word),
        out=out,
        model=ModelChoice(),
        data=DataChoice(),
        extraction=ExtractionChoice(),
        learning=LearningChoice(),
        grounding=GroundingChoice(),
        as_json=as_json,
    )
