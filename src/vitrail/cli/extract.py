"""`vitrail extract`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from vitrail.activations.options import ExtractionOptions
from vitrail.cli.application import command
from vitrail.cli.choices import DataChoice, ModelChoice, WordsChoice
from vitrail.cli.derived import Without
from vitrail.cli.options import Json, Out, PlanOnly
from vitrail.cli.planning import show_plan
from vitrail.cli.terminal import print_json, progress_bars, say, show_part, show_rows
from vitrail.cli.unused import refuse
from vitrail.errors import UsageError
from vitrail.work.options import WorkOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vitrail.activations import Activations, Moments, WordStore
    from vitrail.artifacts import Counts
    from vitrail.lmm import LMM, Loader
    from vitrail.samples import Sample


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
    reduce: Annotated[
        str | None,
        typer.Option(
            "--reduce",
            help="Keep no state, only sums of them, in OUT/moments: `mean`, `covariance`, `gram`, or several of them.",
        ),
    ] = None,
    plan: PlanOnly = False,
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
        vitrail extract --word dog,cat --reduce mean,covariance --out studies/sums
        vitrail extract --word dog --out studies/dog --plan
        vitrail extract --word dog --engine ray --workers 4 --gpus-per-worker 1 --out studies/dog
        vitrail extract --word dog --world-size 8 --rank 0 --out studies/dog
    """
    from vitrail.artifacts import check_place
    from vitrail.extraction.checks import check_word, check_words
    from vitrail.progress import silent

    if said is not None:
        refuse("is not for --said, whose texts are as long as they are", "extraction.max_new_tokens")
    if extraction.require == "truth":
        why = "is not for --require truth, for which the model says nothing"
        refuse(why, "extraction.max_new_tokens", "model.own_generation")
    if word.word != "nouns":
        refuse("is for --word nouns", "word.min_count")
    reducers = None if reduce is None else [name.strip() for name in reduce.split(",")]
    if reducers is None:
        check_place(out / "activations", "activations")
    else:
        from vitrail.scores.moments import check_reducers

        check_reducers(reducers)
        check_place(out / "moments", "moments")
        if work != WorkOptions():
            raise UsageError(
                "--reduce adds up in one process, in the order of the samples: in another order, rounding gives other "
                "sums. Leave out --engine, --rank and what belongs to them. Let ranks or workers make the texts "
                "(`vitrail say`), which take most of the time, and give these with --said."
            )
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
        from vitrail.extraction import extract_as, extract_part, extract_words_as, reduce_as, sized
        from vitrail.extraction.checks import having, having_any

        options = extraction
        how: dict[str, Any] = {"said": texts, "work": work, "progress": progress}
        if part is not None and not plan:
            show_part(extract_part(lmm, samples, words, extraction, out=out, **how), part, out, as_json)
            return

        def run(lmm: LMM | Loader, some: Sequence[Sample], to: Path) -> Activations | WordStore | Moments:
            there = [w for w in words if having(some, w, options.require)] if plan else words
            if reducers is not None and not callable(lmm):
                tell = silent if plan else progress
                where = to / "moments"
                return reduce_as(lmm, some, there, reducers, out=where, options=options, said=texts, progress=tell)
            if len(words) > 1:
                return extract_words_as(lmm, some, there, options, out=to, **how)
            return extract_as(lmm, some, words[0], options, out=to / "activations", **how)

        if plan:
            here = lmm() if callable(lmm) else lmm
            options = sized(here, samples, words, extraction, texts)
            how = {"said": texts}
            show_plan(
                lambda some, to: run(here, some, to),
                having_any(samples, words, extraction.require),
                out=out,
                as_json=as_json,
                device=here.device,
                batch_size=options.samples_per_batch,
            )
            return
        made = run(lmm, samples, out)
    if reducers is not None:
        _show_moments(cast("Moments", made), as_json)
    elif len(words) > 1:
        _show_words(cast("WordStore", made), as_json)
    else:
        _show_activations(cast("Activations", made), extraction.read_at, as_json)


def _show_activations(made: Activations, read_at: str, as_json: bool) -> None:
    counts = made.counts
    if as_json:
        print_json({"folder": str(made.folder), "layers": made.layers, **counts.as_dict()})
        return
    having = counts.scanned - counts.without_word - len(counts.unreadable)
    many = f" {counts.kept}" if counts.kept > having else ""
    say(f"{having} of {counts.scanned} samples have the word; their{many} states are in {made.folder}")
    if counts.without_state:
        say(f"{counts.without_state} of them have no {read_at!r}, and no state.")
    _show_unreadable(counts)


def _show_words(store: WordStore, as_json: bool) -> None:
    counts = store.counts
    if as_json:
        print_json({"folder": str(store.folder), "layers": store.layers, "words": store.kept, **counts.as_dict()})
        return
    show_rows(("word", "states"), store.kept.items())
    say(f"of {counts.scanned} samples; the states of {len(store)} words are in {store.folder}")
    _show_unreadable(counts)


def _show_moments(made: Moments, as_json: bool) -> None:
    counts, n = made.counts, {word.text: made.n(word.text) for word in made.words}
    if as_json:
        what = {"layers": made.layers, "reduce": made.reducers, "words": n}
        print_json({"folder": str(made.folder), **what, **counts.as_dict()})
        return
    show_rows(("word", "states"), n.items())
    say(f"of {counts.scanned} samples; {', '.join(made.reducers)} of their states at each layer are in {made.folder}")
    _show_unreadable(counts)


def _show_unreadable(counts: Counts) -> None:
    if counts.unreadable:
        say(f"{len(counts.unreadable)} samples were left out:")
        for sample, why in counts.unreadable[:10]:
            say(f"  {sample}: {why}")
