"""`vitrail study` and `vitrail demo`."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.activations.options import ExtractionOptions
from vitrail.cli.application import command
from vitrail.cli.choices import DataChoice, Extraction, ModelChoice, WordChoice
from vitrail.cli.derived import Named, Parser, Without
from vitrail.cli.options import Json, Out, Overwrite, PlanOnly
from vitrail.cli.parsing import to_layer
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, read_json, say, show_summary
from vitrail.cli.unused import refuse
from vitrail.concepts.options import LearningOptions
from vitrail.grounding.options import GroundingOptions
from vitrail.maps.options import MapOptions
from vitrail.words import Word

if TYPE_CHECKING:
    from vitrail.samples import Sample

LAYER = "0 embeddings, 1..N or -N..-1 after a block, `final` after the final norm."


@command(panel="In one go")
def study(
    *,
    word: WordChoice,
    out: Out,
    model: ModelChoice,
    data: DataChoice,
    layer: Annotated[Any, typer.Option("--layer", parser=Parser(to_layer, "layer"), help=LAYER)] = "-1",
    extraction: Extraction,
    learning: Annotated[LearningOptions, Without("layer", "stability", "consensus")],
    grounding: Annotated[GroundingOptions, Without("own_word"), Named(n_samples="--images-per-concept")],
    maps: Annotated[
        int,
        typer.Option(
            "--maps",
            min=0,
            help="Also keep and show where in so many of its images each concept comes from; with the default method "
            "that is some 10 passes of an image, and back.",
        ),
    ] = 0,
    mapping: Annotated[
        MapOptions,
        Without("batch_size"),
        Named(method="--map-method", steps="--map-steps", cells="--map-cells"),
    ],
    overwrite: Overwrite = False,
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """From images and a word to grounded concepts and a report, in one go.

    Writes OUT/report.html and OUT/summary.json. A study that was stopped goes on when the same command is run again; a
    finished one gets its maps (--maps) then.

    Examples:
        vitrail study --word dog --out studies/dog
        vitrail study --word dog --out studies/dog --maps 3
        vitrail study --model llava-hf/llava-1.5-7b-hf --data coco/dataset_coco.json --images coco \\
            --split train --word dog --forms dogs,puppy --layer -1 --concepts 20 --out studies/dog
    """
    from vitrail.runs.checks import check_study, check_study_folder

    if not maps:
        refuse("is for maps (--maps N)", "mapping")
    check_study_folder(out, overwrite=overwrite)
    grounding.check_lens()
    with progress_bars() as progress:
        samples = data.load(progress)
        check_study(samples, word, extraction, learning)
        lmm = model.load(progress, [layer])
        from vitrail.artifacts import beside, make_way
        from vitrail.runs.study import study as run
        from vitrail.runs.study import summary

        if plan:
            from vitrail.extraction import sized
            from vitrail.extraction.checks import having_any

            options = sized(lmm, samples, [word], replace(extraction, layers=(layer,)))

            def rehearsed(some: Sequence[Sample], to: Path) -> None:
                made = run(
                    lmm, some, word, out=to, extraction=options, learning=learning, grounding=grounding, progress=False
                )
                if maps:
                    made.map_samples(some, n_images=maps, options=mapping, lmm=lmm, progress=False)

            show_plan(
                rehearsed,
                having_any(samples, [word], extraction.require),
                out=out,
                as_json=as_json,
                first=max(options.samples_per_batch, 2 * learning.n_samples),
                device=lmm.device,
                batch_size=options.samples_per_batch,
            )
            return
        if overwrite:
            make_way(beside("study", out))
        made = run(
            lmm,
            samples,
            word,
            out=out,
            layer=layer,
            extraction=extraction,
            learning=learning,
            grounding=grounding,
            factors=data.facts().factors,
            progress=progress,
        )
        if maps:
            made.map_samples(samples, n_images=maps, options=mapping, lmm=lmm, progress=progress)
    if as_json:
        print_json(read_json(out / "summary.json"))
    else:
        show_summary(summary(made), out)


@command(panel="In one go")
def demo(
    out: Out = Path("vitrail-demo"),
    word: Annotated[str, typer.Option("--word", help="The word of interest.")] = "dog",
    plan: PlanOnly = False,
    as_json: Json = False,
) -> None:
    """The main job on the bundled model and world: what does it think of when it says “dog”?

    Examples:
        vitrail demo
        vitrail demo --word cat --out cats
    """
    study(
        word=Word(word),
        out=out,
        model=ModelChoice(),
        data=DataChoice(),
        layer=-1,
        extraction=ExtractionOptions(),
        learning=LearningOptions(),
        grounding=GroundingOptions(),
        mapping=MapOptions(),
        plan=plan,
        as_json=as_json,
    )
    if not (as_json or plan):
        say(f"To see it, ask the model and steer it in the browser: vitrail serve {shlex.quote(str(out))}")
        if importlib.util.find_spec("starlette") is None:
            say("The viewer needs two small packages: pip install 'vitrail[serve]'")
