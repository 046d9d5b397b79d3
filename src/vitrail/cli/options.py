"""The options that commands share, each declared once: its name, its type, its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

StudyFolder = Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder.")]
Out = Annotated[Path, typer.Option("--out", help="Folder to write; what is finished in it is kept.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Model = Annotated[str, typer.Option("--model", help="`toyland`, a folder, or a model's name on the hub.")]
OtherModel = Annotated[
    str | None, typer.Option("--model", help="Where the model is now, if not where the study found it.")
]
Revision = Annotated[str | None, typer.Option(help="Revision of a model on the hub.")]
Adapter = Annotated[str | None, typer.Option(help="A PEFT adapter to put on top of the model.")]
Device = Annotated[
    str | None,
    typer.Option(help="`cpu`, `cuda`, …; the accelerator if there is one. `auto` spreads over all, and off-loads."),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run code that comes with the model. It may do anything on this machine."),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="`toyland`, COCO captions (Karpathy's or its own), VQAv2 questions, Visual Genome's images with what is "
        "said of them, or each region by itself (`regions:FILE`), JSONL, CSV, Parquet, WebDataset shards, a folder of "
        "images, a Hugging Face dataset, or the first --limit rows of one on the hub (`stream:ORG/NAME`).",
    ),
]
Images = Annotated[Path | None, typer.Option(help="Folder of the images, if not beside the data.")]
Split = Annotated[str | None, typer.Option(help="Split of the data; all of them by default (toyland: train).")]
Limit = Annotated[int | None, typer.Option(min=1, help="Look at the first so many samples.")]
Having = Annotated[
    str | None,
    typer.Option(
        help="Only samples with one of these words, by commas, or of a list: `colour`, `place`, `sentiment`, or a file "
        "with one a line."
    ),
]
Ids = Annotated[Path | None, typer.Option(help="Only the samples whose ids this file names, one a line.")]
WordText = Annotated[str, typer.Option("--word", help="The word of interest.")]
Forms = Annotated[str, typer.Option(help="Further forms that count as the word, by commas: `dogs,puppy`.")]
MatchCase = Annotated[bool, typer.Option("--match-case", help="Tell `Dog` from `dog`.")]
Prompt = Annotated[str | None, typer.Option(help="The request for a caption; the model's own by default.")]
LayerOption = Annotated[
    str, typer.Option("--layer", help="0 embeddings, 1..N or -N..-1 after a block, `final` after the final norm.")
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Longest caption, in tokens.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Samples per batch; halved when memory runs out.")]
NConcepts = Annotated[int, typer.Option("--concepts", min=1, help="How many concepts.")]
Stability = Annotated[
    int, typer.Option(min=0, help="Learn again with so many other seeds and resamples, and say what came back.")
]
Address = Annotated[str | None, typer.Option(help="Of a running Ray cluster; one on this machine by default.")]
Penalty = Annotated[float | None, typer.Option(min=0, help="λ of Semi-NMF's sparsity.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
NWords = Annotated[int, typer.Option("--words", min=1, help="Words per concept.")]
Language = Annotated[
    str,
    typer.Option(help="Whose dictionary says what is a word: `en`, `de`, `fr`, `ru` …, or `any` for all in letters."),
]
NSamples = Annotated[int, typer.Option("--images-per-concept", min=1, help="Most activating samples per concept.")]
