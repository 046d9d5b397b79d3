"""`vitrail evaluate`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitrail.cli.commands import app
from vitrail.cli.objects import load_again, to_factors, to_layer, to_model
from vitrail.cli.options import (
    BatchSize,
    Data,
    Device,
    DType,
    Images,
    Json,
    LayerOption,
    MaxNewTokens,
    Model,
    Require,
    RequireOption,
    Seed,
    TrustRemoteCode,
)
from vitrail.cli.terminal import print_json, progress_bars
from vitrail.errors import UsageError

if TYPE_CHECKING:
    from vitrail.evaluation import EvaluationOptions, Lexicon, MethodOptions
    from vitrail.progress import Progress
    from vitrail.samples import Sample
    from vitrail.scores import KnownFactors


@app.command()
def evaluate(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="The study to evaluate; or compare methods with --words.")
    ] = None,
    words: Annotated[str, typer.Option("--words", help="Words to compare methods on, by commas.")] = "",
    methods: Annotated[
        str | None, typer.Option("--methods", help="Methods to compare, by commas; all of them by default.")
    ] = None,
    concepts: Annotated[
        str, typer.Option("--concepts", help="How many concepts; several by commas also give the curve over them.")
    ] = "20",
    layer: LayerOption = "-1",
    layers: Annotated[str, typer.Option("--layers", help="Layers for the curve by depth, by commas, or `all`.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the comparison; what is finished in it is kept.")
    ] = None,
    model: Model = "toyland",
    data: Data = "toyland",
    images: Images = None,
    held_out: Annotated[
        str | None, typer.Option("--held-out", help="Data of the held-out samples, if they are not in --data.")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", help="Split of the held-out samples: `test`, or with --held-out all."),
    ] = None,
    learn_split: Annotated[
        str | None,
        typer.Option("--learn-split", help="Split that a comparison learns from: `train`, or with --held-out all."),
    ] = None,
    image_scorer: Annotated[
        str,
        typer.Option(
            help="For CLIPScore: `toyland`, a CLIP, SigLIP or FLAVA by name or folder, or `open_clip:MODEL/WEIGHTS`."
        ),
    ] = "toyland",
    text_scorer: Annotated[
        str, typer.Option(help="For BERTScore: `toyland`, or a text encoder by name or folder.")
    ] = "toyland",
    text_layer: Annotated[int, typer.Option(help="Layer of the text encoder; -1 is the last.")] = -1,
    noise: Annotated[bool, typer.Option(help="Also learn the dictionary of noise images.")] = True,
    random: Annotated[int, typer.Option("--random", min=1, help="Lists of random words.")] = 200,
    ablate: Annotated[
        int, typer.Option("--ablate", min=0, help="Images per concept for the ablation; 0 for none.")
    ] = 0,
    require: RequireOption = Require.both,
    max_new_tokens: MaxNewTokens = 40,
    batch_size: BatchSize = 32,
    seed: Seed = 0,
    device: Device = None,
    trust_remote_code: TrustRemoteCode = False,
    as_json: Json = False,
) -> None:
    """How well concepts are grounded: the papers' scores, with controls, intervals and known factors.

    For one STUDY, into STUDY/evaluation and its report; or for several methods and words side by side (--words), into
    OUT/comparison.json, .md, .tex and OUT/report.html.
    """
    chosen = [w.strip() for w in words.split(",") if w.strip()]
    if (folder is None) == (not chosen):
        raise UsageError("Name either a STUDY to evaluate, or --words to compare methods on.")
    if folder is not None and (layers or out):
        raise UsageError("--layers and --out are for a comparison (--words); a study has its own folder and layer.")
    from vitrail.artifacts import plain
    from vitrail.evaluation import EvaluationData, EvaluationOptions, Scorers
    from vitrail.lmm import quieten
    from vitrail.lmm.scorers import load_image_scorer, load_text_scorer
    from vitrail.runs.compare_methods import compare_methods
    from vitrail.runs.evaluate import evaluate as evaluate_study
    from vitrail.studies import open_study

    quieten()
    options = EvaluationOptions(noise, random, ablate, seed)
    with progress_bars() as progress:
        progress("load", 0, 1)
        image, text = (
            load_image_scorer(image_scorer, device=device),
            load_text_scorer(text_scorer, layer=text_layer, device=device),
        )
        scorers = Scorers(image, text)
        progress("load", 1, 1)
        aside = _samples(held_out or data, split or (None if held_out else "test"), images, progress)
        known = _factors(data, held_out), _lexicon(data)
        if folder is not None:
            study = open_study(folder)
            lmm = load_again(study.activations, None if model == "toyland" else model, device, trust_remote_code)
            samples = EvaluationData(_samples(data, None, images, progress), aside, *known)
            made = evaluate_study(study, lmm, samples, scorers=scorers, options=options, progress=progress)
            values, tables, page = plain(made.scores), made.folder / "evaluation.md", folder / "report.html"
        else:
            asked = _method_options(methods, layer, concepts, options)
            extraction = replace(
                asked.extraction, require=require.value, max_new_tokens=max_new_tokens, batch_size=batch_size
            )
            lmm = to_model(model, None, None, DType.auto, device, None, progress, trust_remote_code)
            asked = replace(asked, layers=_layers(layers, lmm.n_blocks), extraction=extraction)
            train = _samples(data, learn_split or (None if held_out else "train"), images, progress)
            samples, to = EvaluationData(train, aside, *known), out or Path("evaluation")
            methods_made = compare_methods(
                lmm, samples, chosen, scorers=scorers, out=to, options=asked, progress=progress
            )
            values, tables, page = plain(methods_made.to_json()), to / "comparison.md", to / "report.html"
    if as_json:
        print_json(values)
    else:
        typer.echo(f"{tables.read_text(encoding='utf-8')}\nThe report is {page}")


def _method_options(methods: str | None, layer: str, concepts: str, options: EvaluationOptions) -> MethodOptions:
    from vitrail.evaluation import MethodOptions

    asked = MethodOptions(layer=to_layer(layer), n_concepts=_numbers(concepts), evaluation=options)
    if methods is None:
        return asked
    return replace(asked, methods=tuple(m.strip() for m in methods.split(",") if m.strip()))


def _samples(data: str, split: str | None, images: Path | None, progress: Progress) -> list[Sample]:
    """Samples of one split, or of all splits for None; of Toyland, too."""
    from vitrail import toyland as world
    from vitrail.samples import load_samples

    source = world.dataset_path(progress=progress) if data == "toyland" else data
    return load_samples(source, split=split, images=images)


def _factors(data: str, held_out: str | None) -> KnownFactors | None:
    """The known factors of the samples of both."""
    found = [to_factors(source) or {} for source in (data, held_out) if source is not None]
    return {i: known for factors in found for i, known in factors.items()} or None


def _lexicon(data: str) -> Lexicon | None:
    """The words of Toyland's factor values, where the data are a Toyland."""
    from vitrail.toyland.language import LEXICON

    folder = Path(data) if Path(data).is_dir() else Path(data).parent
    return LEXICON if data == "toyland" or (folder / "toyland.json").is_file() else None


def _layers(text: str, n_blocks: int) -> list[int | str]:
    return [*range(n_blocks + 1), "final"] if text == "all" else [to_layer(t) for t in text.split(",") if t.strip()]


def _numbers(text: str) -> list[int]:
    try:
        numbers = [int(t) for t in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise UsageError(f"--concepts takes whole numbers of at least 1, by commas; got {text!r}.")
    return numbers
