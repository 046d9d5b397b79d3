"""The commands: parse, call, print."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vitrail.artifacts import plain
from vitrail.cli.objects import load_again, to_factors, to_layer, to_model, to_samples, to_word
from vitrail.cli.options import (
    Adapter,
    Address,
    Alignment,
    AlignmentOption,
    BatchSize,
    Data,
    Device,
    DType,
    Dtype,
    Engine,
    EngineOption,
    Forms,
    Having,
    Ids,
    Images,
    Json,
    Language,
    LayerOption,
    Limit,
    MatchCase,
    MaxNewTokens,
    Method,
    MethodOption,
    Model,
    NConcepts,
    NSamples,
    NWords,
    OtherModel,
    Out,
    Penalty,
    Prompt,
    Require,
    RequireOption,
    Revision,
    Seed,
    Split,
    Stability,
    StudyFolder,
    TrustRemoteCode,
    WordText,
)
from vitrail.cli.sweep import draw_sweep
from vitrail.cli.terminal import print_json, progress_bars, read_json, show_concepts, show_explanation, show_summary

app = typer.Typer(
    name="vitrail",
    help="Opens large multimodal models: the concepts behind a word, in words and in pictures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("vitrail"))
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from, and what happens.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("vitrail").setLevel(logging.DEBUG if debug else logging.WARNING)
    os.environ.setdefault("HF_HUB_VERBOSITY", "info" if debug else "error")  # a hub out of reach is said once, by us
    logging.getLogger("vitrail.extraction").setLevel(logging.DEBUG if debug else logging.INFO)  # what a run will need


@app.command()
def study(
    word: WordText,
    out: Out,
    model: Model = "toyland",
    data: Data = "toyland",
    layer: LayerOption = "-1",
    concepts: NConcepts = 20,
    method: MethodOption = Method.semi_nmf,
    penalty: Penalty = None,
    seed: Seed = 0,
    forms: Forms = "",
    match_case: MatchCase = False,
    alignment: AlignmentOption = Alignment.predicts,
    require: RequireOption = Require.both,
    split: Split = None,
    limit: Limit = None,
    images: Images = None,
    having: Having = None,
    ids: Ids = None,
    prompt: Prompt = None,
    max_new_tokens: MaxNewTokens = 40,
    batch_size: BatchSize = 32,
    words: NWords = 10,
    images_per_concept: NSamples = 5,
    language: Language = "en",
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = DType.auto,
    device: Device = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """From images and a word to grounded concepts and a report, in one go.

    Writes OUT/report.html and OUT/summary.json. A study that was stopped goes on when the same command is run again.
    """
    from vitrail.activations import ExtractionOptions
    from vitrail.concepts import LearningOptions
    from vitrail.grounding import GroundingOptions
    from vitrail.runs.study import study as run
    from vitrail.runs.study import summary

    with progress_bars() as progress:
        samples = to_samples(data, split, limit, images, progress, having, ids)
        lmm = to_model(model, revision, adapter, dtype, device, prompt, progress, trust_remote_code)
        made = run(
            lmm,
            samples,
            to_word(word, forms, match_case),
            out=out,
            extraction=ExtractionOptions(
                (to_layer(layer),),
                alignment.value,
                require.value,
                max_new_tokens=max_new_tokens,
                batch_size=batch_size,
            ),
            learning=LearningOptions(method=method.value, n_concepts=concepts, penalty=penalty, seed=seed),
            grounding=GroundingOptions(words, images_per_concept, language=language),
            factors=to_factors(data),
            progress=progress,
        )
    if as_json:
        print_json(read_json(out / "summary.json"))
    else:
        show_summary(plain(summary(made)), out)


@app.command()
def demo(
    out: Out = Path("vitrail-demo"),
    word: WordText = "dog",
    as_json: Json = False,
) -> None:
    """The main job on the bundled model and world: what does it think of when it says “dog”?"""
    study(word=word, out=out, as_json=as_json)


@app.command()
def extract(
    word: WordText,
    out: Out,
    model: Model = "toyland",
    data: Data = "toyland",
    layers: Annotated[str, typer.Option("--layers", help="One or several by commas, or `all`.")] = "-1",
    forms: Forms = "",
    match_case: MatchCase = False,
    alignment: AlignmentOption = Alignment.predicts,
    require: RequireOption = Require.both,
    split: Split = None,
    limit: Limit = None,
    images: Images = None,
    having: Having = None,
    ids: Ids = None,
    prompt: Prompt = None,
    max_new_tokens: MaxNewTokens = 40,
    batch_size: BatchSize = 32,
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = DType.auto,
    device: Device = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """States of a word, one per sample that has it, into OUT/activations."""
    from vitrail.extraction import extract as run

    with progress_bars() as progress:
        samples = to_samples(data, split, limit, images, progress, having, ids)
        lmm = to_model(model, revision, adapter, dtype, device, prompt, progress, trust_remote_code)
        everything = [*range(lmm.n_blocks + 1), "final"]
        made = run(
            lmm,
            samples,
            to_word(word, forms, match_case),
            out=out / "activations",
            layers=everything if layers == "all" else [to_layer(part) for part in layers.split(",")],
            alignment=alignment.value,
            require=require.value,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            progress=progress,
        )
    counts = made.counts
    if as_json:
        print_json({"folder": str(made.folder), "layers": made.layers, **counts.as_dict()})
    else:
        typer.echo(f"{counts.kept} of {counts.scanned} samples have the word; their states are in {made.folder}")
        if counts.unreadable:
            typer.echo(f"{len(counts.unreadable)} images could not be read:")
            for sample, why in counts.unreadable[:10]:
                typer.echo(f"  {sample}: {why}")


@app.command()
def learn(
    folder: StudyFolder,
    layer: Annotated[str | None, typer.Option("--layer", help="Which of the extracted layers.")] = None,
    concepts: NConcepts = 20,
    method: MethodOption = Method.semi_nmf,
    penalty: Penalty = None,
    seed: Seed = 0,
    stability: Stability = 4,
    consensus: Annotated[
        bool, typer.Option("--consensus", help="Take what the runs with several seeds agree on.")
    ] = False,
    engine: EngineOption = Engine.local,
    address: Address = None,
    sweep: Annotated[
        bool, typer.Option("--sweep", help="Do not learn, but draw what changes with K and λ, into STUDY/sweep.")
    ] = False,
    try_concepts: Annotated[str, typer.Option(help="Numbers of concepts for --sweep, by commas.")] = "5,10,20,40",
    try_penalties: Annotated[
        str | None, typer.Option(help="Values of λ for --sweep, by commas; shares of the states' norm by default.")
    ] = None,
    words: Annotated[
        bool, typer.Option("--words/--no-words", help="Load the model for --sweep, to tell how concepts share words.")
    ] = True,
    language: Annotated[
        str, typer.Option(help="Of these words, as in `vitrail ground`: `en`, `de`, `fr`, `ru` …, or `any`.")
    ] = "en",
    model: OtherModel = None,
    device: Device = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """Concepts of the states in STUDY/activations, into STUDY/concepts."""
    from vitrail.activations import open_activations
    from vitrail.concepts import learn as run

    activations = open_activations(folder / "activations")
    if sweep:
        lmm = load_again(activations, model, device, trust_remote_code) if words else None
        draw_sweep(
            activations, folder / "sweep", layer, method, seed, try_concepts, try_penalties, lmm, language, as_json
        )
        return
    with progress_bars() as progress:
        progress("learn", 0, 1)
        made = run(
            activations,
            out=folder / "concepts",
            layer=None if layer is None else to_layer(layer),
            method=method.value,
            n_concepts=concepts,
            penalty=penalty,
            seed=seed,
            stability=stability,
            consensus=consensus,
            engine=engine.value,
            address=address,
            progress=progress,
        )
        progress("learn", 1, 1)
    if as_json:
        print_json(
            {
                "folder": str(made.folder),
                "parameters": made.parameters,
                "scores": made.scores,
                "stability": made.stability,
                "dropped": made.manifest["dropped"],
            }
        )
    else:
        typer.echo(
            f"{len(made)} concepts explain {made.scores['explained_variance']:.1%} of the variance "
            f"with {made.scores['active']:.1f} active per sample; they are in {made.folder}"
        )


@app.command()
def ground(
    folder: StudyFolder,
    words: NWords = 10,
    images_per_concept: NSamples = 5,
    own_word: Annotated[bool, typer.Option("--own-word", help="Let the word of interest be among the words.")] = False,
    language: Language = "en",
    model: OtherModel = None,
    device: Device = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """Words and images of the concepts in STUDY/concepts, into STUDY/grounding."""
    from vitrail.activations import open_activations
    from vitrail.concepts import open_concepts
    from vitrail.grounding import ground as run

    activations = open_activations(folder / "activations")
    concepts = open_concepts(folder / "concepts", activations)
    lmm = load_again(activations, model, device, trust_remote_code)
    made = run(
        lmm,
        activations,
        concepts,
        out=folder / "grounding",
        n_words=words,
        n_samples=images_per_concept,
        own_word=own_word,
        language=language,
    )
    if as_json:
        print_json(read_json(made.folder / "grounding.json"))
    else:
        show_concepts([{"index": c.index, "share": c.share, "words": [w.word for w in c.words]} for c in made.concepts])


@app.command()
def explain(
    folder: StudyFolder,
    image: Annotated[Path, typer.Argument(help="The image to explain.")],
    concepts: Annotated[int, typer.Option("--concepts", min=1, help="How many of the most active concepts.")] = 5,
    picture: Annotated[Path | None, typer.Option(help="Also draw the explanation to this PNG or SVG file.")] = None,
    model: OtherModel = None,
    device: Device = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """The concepts behind the word in one image."""
    from vitrail.explanation import explain as run
    from vitrail.studies import open_study

    opened = open_study(folder)
    lmm = load_again(opened.activations, model, device, trust_remote_code)
    found = run(lmm, opened.activations, opened.concepts, opened.grounding, image, n_concepts=concepts)
    if picture is not None:
        from vitrail.reports.explanation import draw_explanation

        draw_explanation(found, picture)
    if as_json:
        print_json(found.as_dict())
    else:
        show_explanation(found)


@app.command()
def report(
    folder: StudyFolder,
    out: Annotated[Path | None, typer.Option("--out", help="The HTML file; STUDY/report.html by default.")] = None,
    data: Annotated[
        str | None,
        typer.Option("--data", help="Data with known factors (`factors.parquet`); by default what the study knows."),
    ] = None,
    as_json: Json = False,
) -> None:
    """One self-contained HTML page of the study in STUDY, with its evaluation where there is one."""
    from vitrail.runs.report import report as run
    from vitrail.studies import open_study

    path = run(open_study(folder), out=out, factors=None if data is None else to_factors(data))
    if as_json:
        print_json({"report": str(path)})
    else:
        typer.echo(f"The report is {path}")


@app.command()
def toyland(
    out: Out,
    samples: Annotated[int, typer.Option(min=10, help="How many scenes.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Another seed has other scenes.")] = 0,
    as_json: Json = False,
) -> None:
    """The bundled world as a data set: COCO captions, VQAv2 questions, and the factors of every scene."""
    from vitrail.toyland.dataset import write_dataset

    with progress_bars() as progress:
        folder = write_dataset(out, samples, seed, progress)
    if as_json:
        print_json({"folder": str(folder), "samples": samples, "seed": seed})
    else:
        typer.echo(f"{samples} scenes are in {folder}")
