"""`vitrail extract`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vitrail.activations.options import ExtractionOptions
from vitrail.cli.application import command
from vitrail.cli.choices import DataChoice, ModelChoice, WordsChoice
from vitrail.cli.derived import Without
from vitrail.cli.options import Json, Out
from vitrail.cli.terminal import print_json, progress_bars, say, show_part, show_rows
from vitrail.work.options import WorkOptions

if TYPE_CHECKING:
    from vitrail.activations import WordStore
    from vitrail.artifacts import Counts


@command(panel="Step by step")
def extract(
    *,
    word: WordsChoice,
    out: Out,
    model: ModelChoice,
    data: DataChoice,
    extraction: Annotated[ExtractionOptions, Without("prompt", "shard_size")],
    said: Annotated[
        Path | None,
        typer.Option("--said", help="Texts of `vitrail say`, or JSONL captions: read them; the model says nothing."),
    ] = None,
    work: WorkOptions,
    as_json: Json = False,
) -> None:
    """States of a word, one per sample that has it, into OUT/activations; of many words in one pass over the samples.

    With many words OUT/words/WORD is the folder of a study of each: `vitrail learn OUT --word WORD`.

    Examples:
        vitrail extract --word dog --out studies/dog
        vitrail extract --word dog --data captions.jsonl --layers 4,-1,final --require truth --out studies/dog
        vitrail extract --word dog --read-at answer --out answers/dog
        vitrail extract --word dog --layers connector --read-at patches --out patches/dog
        vitrail extract --word nouns --min-count 200 --said texts/toyland --out studies/nouns
        vitrail extract --word dog --engine ray --workers 4 --gpus-per-worker 1 --out studies/dog
        vitrail extract --word dog --world-size 8 --rank 0 --out studies/dog
    """
    from vitrail.artifacts import check_place
    from vitrail.extraction.checks import check_word, check_words

    check_place(out / "activations", "activations")
    with progress_bars() as progress:
        samples = data.load(progress)
        words = word.words(samples)
        if len(words) == 1:
            check_word(samples, words[0], extraction.require)
        else:
            check_words(samples, words, extraction.require)
        from vitrail.saying import open_texts

        texts = None if said is None else open_texts(said)
        part = work.part
        lmm = model.for_work(work, progress, extraction.decoder)
        from vitrail.extraction import extract_as, extract_part, extract_words_as

        how: dict[str, Any] = {"said": texts, "work": work, "progress": progress}
        if part is not None:
            show_part(extract_part(lmm, samples, words, extraction, out=out, **how), part, out, as_json)
            return
        if len(words) > 1:
            _show_words(extract_words_as(lmm, samples, words, extraction, out=out, **how), as_json)
            return
        made = extract_as(lmm, samples, words[0], extraction, out=out / "activations", **how)
    counts = made.counts
    if as_json:
        print_json({"folder": str(made.folder), "layers": made.layers, **counts.as_dict()})
        return
    having = counts.scanned - counts.without_word - len(counts.unreadable)
    many = f" {counts.kept}" if counts.kept > having else ""
    say(f"{having} of {counts.scanned} samples have the word; their{many} states are in {made.folder}")
    if counts.without_state:
        say(f"{counts.without_state} of them have no {extraction.read_at!r}, and no state.")
    _show_unreadable(counts)


def _show_words(store: WordStore, as_json: bool) -> None:
    counts = store.counts
    if as_json:
        print_json({"folder": str(store.folder), "layers": store.layers, "words": store.kept, **counts.as_dict()})
        return
    show_rows(("word", "states"), store.kept.items())
    say(f"of {counts.scanned} samples; the states of {len(store)} words are in {store.folder}")
    _show_unreadable(counts)


def _show_unreadable(counts: Counts) -> None:
    if counts.unreadable:
        say(f"{len(counts.unreadable)} samples were left out:")
        for sample, why in counts.unreadable[:10]:
            say(f"  {sample}: {why}")
