"""The command line: parse, call, print. Progress goes to stderr, results to stdout."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vitrail.errors import UsageError, VitrailError

if TYPE_CHECKING:
    from vitrail.activations import Activations
    from vitrail.lmm import LMM
    from vitrail.progress import Progress
    from vitrail.samples import Sample
    from vitrail.study import Factors

app = typer.Typer(
    name="vitrail",
    help="Opens large multimodal models: the concepts behind a word, in words and in pictures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
stderr = Console(stderr=True)


class _Stopped(VitrailError):
    """The user pressed Ctrl-C."""

    exit_code = 130


class Alignment(str, Enum):
    predicts = "predicts"
    reads = "reads"


class Require(str, Enum):
    both = "both"
    predicted = "predicted"
    truth = "truth"


class Method(str, Enum):
    semi_nmf = "semi-nmf"
    pca = "pca"
    kmeans = "kmeans"
    simple = "simple"


class DType(str, Enum):
    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write; what is finished in it is kept.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Model = Annotated[str, typer.Option("--model", help="`toyland`, a folder, or a model's name on the hub.")]
OtherModel = Annotated[
    str | None, typer.Option("--model", help="Where the model is now, if not where the study found it.")
]
Revision = Annotated[str | None, typer.Option(help="Revision of a model on the hub.")]
Adapter = Annotated[str | None, typer.Option(help="A PEFT adapter to put on top of the model.")]
Dtype = Annotated[DType, typer.Option(help="Of the weights; `auto` is what the model says.")]
Device = Annotated[str | None, typer.Option(help="`cpu`, `cuda`, …; the accelerator if there is one.")]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="`toyland`, COCO (Karpathy) JSON, VQAv2 questions JSON, JSONL, Parquet, a folder of images, "
        "or a Hugging Face dataset.",
    ),
]
Images = Annotated[Path | None, typer.Option(help="Folder of the images, if not beside the data.")]
Split = Annotated[str | None, typer.Option(help="Split of the data; all of them by default (toyland: train).")]
Limit = Annotated[int | None, typer.Option(min=1, help="Look at the first so many samples.")]
WordText = Annotated[str, typer.Option("--word", help="The word of interest.")]
Forms = Annotated[str, typer.Option(help="Further forms that count as the word, by commas: `dogs,puppy`.")]
MatchCase = Annotated[bool, typer.Option("--match-case", help="Tell `Dog` from `dog`.")]
Prompt = Annotated[str | None, typer.Option(help="The request for a caption; the model's own by default.")]
LayerOption = Annotated[
    str, typer.Option("--layer", help="0 embeddings, 1..N or -N..-1 after a block, `final` after the final norm.")
]
AlignmentOption = Annotated[Alignment, typer.Option(help="The state that predicts the word, or the one that reads it.")]
RequireOption = Annotated[
    Require, typer.Option(help="Where the word must be: predicted text, reference, both; `truth` forces the reference.")
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Longest caption, in tokens.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Samples per batch; halved when memory runs out.")]
NConcepts = Annotated[int, typer.Option("--concepts", min=1, help="How many concepts.")]
MethodOption = Annotated[Method, typer.Option(help="How they are learned.")]
Penalty = Annotated[float | None, typer.Option(min=0, help="λ of Semi-NMF's sparsity.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
NWords = Annotated[int, typer.Option("--words", min=1, help="Words per concept.")]
NSamples = Annotated[int, typer.Option("--images-per-concept", min=1, help="Most activating samples per concept.")]


# ---- commands --------------------------------------------------------------------------------------------------------


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
    level = logging.INFO if debug else logging.ERROR
    logging.basicConfig(level=level, format="%(name)s: %(message)s", stream=sys.stderr)


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
    prompt: Prompt = None,
    max_new_tokens: MaxNewTokens = 40,
    batch_size: BatchSize = 32,
    words: NWords = 10,
    images_per_concept: NSamples = 5,
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = DType.auto,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """From images and a word to grounded concepts and a report, in one go.

    Writes OUT/report.html and OUT/summary.json. A study that was stopped goes on when the same command is run again.
    """
    from vitrail.study import study as run
    from vitrail.study import summary

    with _progress() as progress:
        samples = _samples(data, split, limit, images, progress)
        lmm = _load(model, revision, adapter, dtype, device, prompt, progress)
        made = run(
            lmm,
            samples,
            _word(word, forms, match_case),
            out=out,
            layer=_layer(layer),
            alignment=alignment.value,
            require=require.value,
            method=method.value,
            n_concepts=concepts,
            penalty=penalty,
            seed=seed,
            n_words=words,
            n_samples=images_per_concept,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            factors=_factors(data),
            progress=progress,
        )
    if as_json:
        _print_json(_read_json(out / "summary.json"))
    else:
        _show_summary(summary(made, {}), out)


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
    prompt: Prompt = None,
    max_new_tokens: MaxNewTokens = 40,
    batch_size: BatchSize = 32,
    revision: Revision = None,
    adapter: Adapter = None,
    dtype: Dtype = DType.auto,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """States of a word, one per sample that has it, into OUT/activations."""
    from vitrail.extract import extract as run

    with _progress() as progress:
        samples = _samples(data, split, limit, images, progress)
        lmm = _load(model, revision, adapter, dtype, device, prompt, progress)
        everything = [*range(lmm.n_blocks + 1), "final"]
        made = run(
            lmm,
            samples,
            _word(word, forms, match_case),
            out=out / "activations",
            layers=everything if layers == "all" else [_layer(part) for part in layers.split(",")],
            alignment=alignment.value,
            require=require.value,
            max_new_tokens=max_new_tokens,
            batch_size=batch_size,
            progress=progress,
        )
    counts = made.counts
    if as_json:
        _print_json({"folder": str(made.folder), "layers": made.layers, **counts.as_dict()})
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
    as_json: Json = False,
) -> None:
    """Concepts of the states in STUDY/activations, into STUDY/concepts."""
    from vitrail.activations import open_activations
    from vitrail.concepts import learn as run

    made = run(
        open_activations(folder / "activations"),
        out=folder / "concepts",
        layer=None if layer is None else _layer(layer),
        method=method.value,
        n_concepts=concepts,
        penalty=penalty,
        seed=seed,
    )
    if as_json:
        _print_json(
            {
                "folder": str(made.folder),
                "parameters": made.parameters,
                "scores": made.scores,
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
    model: OtherModel = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Words and images of the concepts in STUDY/concepts, into STUDY/grounding."""
    from vitrail.activations import open_activations
    from vitrail.concepts import open_concepts
    from vitrail.ground import ground as run

    activations = open_activations(folder / "activations")
    concepts = open_concepts(folder / "concepts", activations)
    lmm = _load_again(activations, model, device)
    made = run(
        lmm,
        activations,
        concepts,
        out=folder / "grounding",
        n_words=words,
        n_samples=images_per_concept,
        own_word=own_word,
    )
    if as_json:
        _print_json(_read_json(made.folder / "grounding.json"))
    else:
        _show_concepts(
            [{"index": c.index, "share": c.share, "words": [w.word for w in c.words]} for c in made.concepts]
        )


@app.command()
def explain(
    folder: StudyFolder,
    image: Annotated[Path, typer.Argument(help="The image to explain.")],
    concepts: Annotated[int, typer.Option("--concepts", min=1, help="How many of the most active concepts.")] = 5,
    picture: Annotated[Path | None, typer.Option(help="Also draw the explanation to this PNG or SVG file.")] = None,
    model: OtherModel = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """The concepts behind the word in one image."""
    from vitrail.explain import explain as run
    from vitrail.study import open_study

    opened = open_study(folder)
    lmm = _load_again(opened.activations, model, device)
    found = run(lmm, opened.activations, opened.concepts, opened.grounding, image, n_concepts=concepts)
    if picture is not None:
        from vitrail.report.picture import draw_explanation

        draw_explanation(found, picture)
    if as_json:
        _print_json(found.as_dict())
    else:
        _show_explanation(found)


@app.command()
def report(
    folder: StudyFolder,
    out: Annotated[Path | None, typer.Option("--out", help="The HTML file; STUDY/report.html by default.")] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="Data with known factors (`factors.parquet`), to compare with.")
    ] = None,
    as_json: Json = False,
) -> None:
    """One self-contained HTML page of the study in STUDY."""
    from vitrail.report import report as run
    from vitrail.study import open_study

    opened = open_study(folder)
    path = run(
        opened.activations,
        opened.concepts,
        opened.grounding,
        out=out or folder / "report.html",
        explanations=opened.explanations,
        factors=None if data is None else _factors(data),
    )
    if as_json:
        _print_json({"report": str(path)})
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

    with _progress() as progress:
        folder = write_dataset(out, samples, seed, progress)
    if as_json:
        _print_json({"folder": str(folder), "samples": samples, "seed": seed})
    else:
        typer.echo(f"{samples} scenes are in {folder}")


# ---- from options to objects -----------------------------------------------------------------------------------------


def _word(text: str, forms: str, match_case: bool) -> Any:
    from vitrail.words import Word

    return Word(text, tuple(f.strip() for f in forms.split(",") if f.strip()), match_case)


def _layer(text: str) -> Any:
    text = text.strip()
    if text == "final":
        return text
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"A layer is a whole number or `final`; got {text!r}.") from None


def _samples(data: str, split: str | None, limit: int | None, images: Path | None, progress: Progress) -> list[Sample]:
    from vitrail import toyland as world
    from vitrail.samples import load_samples

    if data == "toyland":
        world.dataset_path(progress=progress)
    return load_samples(data, split=split, limit=limit, images=images)


def _factors(data: str) -> Factors | None:
    from vitrail import toyland as world
    from vitrail.toyland.truth import load_factors

    folder = world.dataset_path() if data == "toyland" else Path(data)
    return load_factors(folder if folder.is_dir() else folder.parent)


def _load(
    model: str,
    revision: str | None,
    adapter: str | None,
    dtype: DType,
    device: str | None,
    prompt: str | None,
    progress: Progress,
) -> LMM:
    progress("load", 0, 1)
    from vitrail.lmm import load, quieten

    quieten()
    lmm = load(model, revision=revision, adapter=adapter, dtype=dtype.value, device=device, prompt=prompt)
    progress("load", 1, 1)
    return lmm


def _load_again(activations: Activations, model: str | None, device: str | None) -> LMM:
    """The model that made `activations`, found where they say, or at `model`."""
    from vitrail.lmm import load, quieten

    quieten()
    made = activations.parameters
    lmm = load(
        model or made["model"]["name"],
        revision=made["model"]["revision"],
        adapter=made["model"]["adapter"],
        dtype=made["model"]["dtype"],
        device=device,
        prompt=made["prompt"],
    )
    if model is not None:
        lmm.name = made["model"]["name"]  # the same model, elsewhere; the rest of its description is compared
    return lmm


# ---- printing --------------------------------------------------------------------------------------------------------


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar per stage on stderr, with rate and time left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=stderr, transient=False) as bars:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total, rate="")
            speed = bars.tasks[tasks[what]].speed
            bars.update(tasks[what], completed=done, total=total, rate="" if speed is None else f"{speed:.0f}/s")

        try:
            yield show
        except KeyboardInterrupt:
            raise _Stopped("Stopped. Run the same command again: it goes on where it stopped.") from None


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _show_concepts(concepts: list[dict[str, Any]]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("concept", "share", "words", box=None, header_style="bold")
    for c in concepts:
        table.add_row(str(c["index"]), f"{c['share']:.0%}", escape(", ".join(c["words"])))
    Console().print(table)


def _show_summary(found: dict[str, Any], out: Path) -> None:
    typer.echo(
        f"“{found['word']}” in {found['model']}: {found['samples']['kept']} of {found['samples']['scanned']} samples, "
        f"{found['n_concepts']} concepts, {found['explained_variance']:.1%} of the variance explained."
    )
    _show_concepts(sorted(found["concepts"], key=lambda c: -c["share"]))
    typer.echo(f"The report is {out / 'report.html'}")


def _show_explanation(found: Any) -> None:
    from rich.markup import escape
    from rich.table import Table

    typer.echo(f"The model says: {found.caption}")
    table = Table("concept", "activation", "percentile", "words", box=None, header_style="bold")
    for c in found.concepts:
        table.add_row(str(c.index), f"{c.activation:.2f}", f"{c.percentile:.0f}", escape(", ".join(c.words)))
    Console().print(table)
    typer.echo(f"Like it: {', '.join(found.look_alikes)}. Unexplained: {found.relative_error:.1%} of the state's norm.")


def main() -> None:
    """Runs the command line: errors as one line and an exit code, a traceback for `--debug` alone."""
    debug = "--debug" in sys.argv
    try:
        app()
    except VitrailError as error:
        if debug:
            raise
        _fail(str(error), error.exit_code)
    except Exception as error:
        if debug:
            raise
        _fail(f"{type(error).__name__}: {error}\nThis is a fault of ours. `vitrail --debug …` shows where.", 1)


def _fail(message: str, code: int) -> None:
    from rich.markup import escape

    stderr.print(f"[bold red]Error:[/] {escape(message)}", soft_wrap=True, highlight=False)
    sys.exit(code)


if __name__ == "__main__":
    main()
