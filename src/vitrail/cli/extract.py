"""`vitrail extract`."""

from __future__ import annotations

from typing import Annotated

from vitrail.activations.options import ExtractionOptions
from vitrail.cli.application import command
from vitrail.cli.choices import DataChoice, ModelChoice, WordChoice
from vitrail.cli.derived import Without
from vitrail.cli.options import Json, Out
from vitrail.cli.terminal import print_json, progress_bars, say


@command(panel="Step by step")
def extract(
    *,
    word: WordChoice,
    out: Out,
    model: ModelChoice,
    data: DataChoice,
    extraction: Annotated[ExtractionOptions, Without("prompt", "shard_size")],
    as_json: Json = False,
) -> None:
    """States of a word, one per sample that has it, into OUT/activations.

    Examples:
        vitrail extract --word dog --out studies/dog
        vitrail extract --word dog --data captions.jsonl --layers 4,-1,final --require truth --out studies/dog
    """
    from vitrail.extraction import check_word

    with progress_bars() as progress:
        samples = data.load(progress)
        check_word(samples, word, extraction.require)
        lmm = model.load(progress, extraction.layers)
        from vitrail.extraction import extract_as

        made = extract_as(lmm, samples, word, extraction, out=out / "activations", progress=progress)
    counts = made.counts
    if as_json:
        print_json({"folder": str(made.folder), "layers": made.layers, **counts.as_dict()})
        return
    say(f"{counts.kept} of {counts.scanned} samples have the word; their states are in {made.folder}")
    if counts.unreadable:
        say(f"{len(counts.unreadable)} images could not be read:")
        for sample, why in counts.unreadable[:10]:
            say(f"  {sample}: {why}")
