"""`extract` and `extract_words`: samples + LMM + word, or many words → activations.

For every sample the model is asked for a caption (or for the answer to its question), the word is looked for in the
decoded text, and the residual stream at the word is kept while the model speaks, or read in one teacher-forced pass
over all layers wanted (CoX-LMM, Parekh et al. 2024, section 3.2: `X = {X_i : t ∈ f(X_i) and t ∈ y_i}`).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from vitrail import words
from vitrail.activations import Activations, Counts, ExtractionOptions, Require, Store, WordStore
from vitrail.activations.many import index_of
from vitrail.activations.store import KIND
from vitrail.artifacts import Part, Writer, check_place, check_room, folder_for, one_writer, writing
from vitrail.errors import DataError, WordError
from vitrail.extraction.checks import candidates, check_word, check_words, having_any
from vitrail.extraction.worker import Way, Worker
from vitrail.lmm import LMM, Layer, Loader, as_lmm, loader_of
from vitrail.lmm.doctor import keeps_states
from vitrail.progress import Progress, Tally, shown, silent
from vitrail.samples import Sample, as_samples, summary_of
from vitrail.samples.parts import Parts
from vitrail.saying import Texts, open_texts
from vitrail.words import Alignment, Word
from vitrail.work import Pool, WorkOptions, part_of, pool_of, whole_run

log = logging.getLogger(__name__)


def extract(
    lmm: LMM | str | Path,
    samples: Sequence[Sample] | str | Path,
    word: Word | str,
    *,
    out: str | Path | None = None,
    layers: Sequence[Layer] = (-1,),
    alignment: Alignment = "predicts",
    require: Require = "both",
    max_new_tokens: int = 40,
    batch_size: int = 32,
    read_at: str = "word",
    said: Texts | str | Path | None = None,
    progress: Progress | bool = True,
) -> Activations:
    """States of `word`, one row per sample that has it (or per patch), written to the folder `out`.

    A run that was stopped goes on, and gives the same bytes: what is there is checked, each file against its hash and
    each sample by its content, and shards that are missing, damaged, or made from other samples are made again.

    Args:
        lmm: the model, or its name or folder, as `load` takes it.
        samples: the samples, or their name, file or folder, as `load_samples` takes them.
        out: `vitrail-studies/WORD/activations` for None.
        layers: which states are kept; this and the following as in `ExtractionOptions` (whole in `extract_as`).
        said: what was said before (`say`, or a JSONL file of captions): it is read, and the model generates nothing.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        WordError: no sample has the word; the nearest words that occur are named.
        DataError: no samples, or no image could be read, or no answer has the positions to read.
        ModelError: the model does not have the positions to read, or its patches have no coordinates.
        NumericsError: a state is not finite.
        ArtifactError: `out` belongs to another run, or the disk cannot hold the result.
    """
    options = ExtractionOptions(
        tuple(layers),
        alignment,
        require,
        None,
        max_new_tokens=max_new_tokens,
        batch_size=batch_size,
        read_at=read_at,
    )
    word = Word(word) if isinstance(word, str) else word
    out = out or folder_for(None, "studies", word.text, progress) / "activations"
    check_place(Path(out), KIND)
    with shown(progress) as tell:
        samples = as_samples(samples, tell)
        if isinstance(lmm, str | Path):
            check_word(samples, word, require)  # before a model is loaded
        said = open_texts(said) if isinstance(said, str | Path) else said
        return extract_as(as_lmm(lmm), samples, word, options, out=out, said=said, progress=tell)


def extract_words(
    lmm: LMM | str | Path,
    samples: Sequence[Sample] | str | Path,
    words: Sequence[Word | str],
    *,
    out: str | Path | None = None,
    options: ExtractionOptions | None = None,
    said: Texts | str | Path | None = None,
    progress: Progress | bool = True,
) -> WordStore:
    """States of many `words` in one pass over the samples, written to the folder `out`.

    A sample has a row for each of the words that it has. A run that was stopped goes on, as with `extract`.

    Args:
        lmm: the model, or its name or folder, as `load` takes it.
        samples: the samples, or their name, file or folder, as `load_samples` takes them.
        out: `vitrail-studies/words` for None; see `WordStore` for what lies in it.
        options: how states are extracted.
        said: what was said before, as for `extract`.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        WordError: no sample has one of the words; the nearest words that occur are named.
        UsageError: there are no words, or one is named twice.
        DataError, NumericsError, ArtifactError: as `extract`.
    """
    wanted = [Word(word) if isinstance(word, str) else word for word in words]
    options = options or ExtractionOptions()
    out = folder_for(out, "studies", "words", progress)
    with shown(progress) as tell:
        samples = as_samples(samples, tell)
        check_words(samples, wanted, options.require)  # before a model is loaded
        said = open_texts(said) if isinstance(said, str | Path) else said
        return extract_words_as(as_lmm(lmm), samples, wanted, options, out=out, said=said, progress=tell)


@one_writer
def extract_as(
    lmm: LMM | Loader,
    samples: Sequence[Sample],
    word: Word | str,
    options: ExtractionOptions,
    *,
    out: str | Path,
    said: Texts | None = None,
    work: WorkOptions | None = None,
    progress: Progress = silent,
) -> Activations:
    """`extract` with its options as one value: those of other activations make the same again; see `extract`.

    Args:
        lmm: the model, or a function that loads it, where workers of Ray do.
        work: who does the work; this process for None. One rank of several is `extract_part`.
    """
    word = Word(word) if isinstance(word, str) else word
    asked = Asked.of_one(samples, word, options, said)
    return _written(asked, lmm, whole_run(work), Path(out), progress).finish()


@one_writer
def extract_words_as(
    lmm: LMM | Loader,
    samples: Sequence[Sample],
    words: Sequence[Word],
    options: ExtractionOptions,
    *,
    out: str | Path,
    said: Texts | None = None,
    work: WorkOptions | None = None,
    progress: Progress = silent,
) -> WordStore:
    """`extract_words` for a model that is loaded; see there, and `extract_as` for `work`."""
    asked = Asked.of_many(samples, words, options, said)
    return finish_words(_written(asked, lmm, whole_run(work), Path(out) / KIND, progress), words)


def extract_part(
    lmm: LMM | Loader,
    samples: Sequence[Sample],
    words: Sequence[Word],
    options: ExtractionOptions,
    *,
    out: str | Path,
    said: Texts | None = None,
    work: WorkOptions,
    progress: Progress = silent,
) -> Counts:
    """One rank's part of the states of a word, or of many. All ranks write to `out`, or each to a folder of its own;
    `merge` completes them.

    Args:
        words: one, whose activations `out` is for, or many, as in `extract_words_as`.
        out: the folder that holds `activations`.
        work: which rank of how many.

    Returns:
        What became of the samples of this part.

    Raises:
        UsageError: `work` names no rank, or the batch size is "auto".
        ArtifactError: another process has the same rank, or the folder was begun with another number of ranks.
    """
    part = part_of(work, options.batch_size)
    if len(words) == 1:
        asked = Asked.of_one(samples, words[0], options, said)
    else:
        asked = Asked.of_many(samples, words, options, said)
    with writing(out, part.rank):
        return _written(asked, lmm, work, Path(out) / KIND, progress).counts()


def finish_words(store: Store, words: Sequence[Word]) -> WordStore:
    """The states of many words in a store that has all its shards, and a folder for the study of each word."""
    index = index_of(words, [record.words for record in store.records()])
    made = WordStore(store.folder.parent, store.finish_files({"words": index}))
    for word in words:
        made.of(word.text)
    return made


@dataclass(frozen=True)
class Asked:
    """What is asked of a model: `some` are those of the samples that may have one of the words; `many` is the form of
    the folder."""

    samples: Sequence[Sample]
    some: list[Sample]
    words: tuple[Word, ...]
    many: bool
    options: ExtractionOptions
    said: Texts | None

    def named(self) -> dict[str, Any]:
        """The word, or the words, as the manifest has them."""
        words = [asdict(word) for word in self.words]
        return {"words": words} if self.many else {"word": words[0]}

    @classmethod
    def of_one(cls, samples: Sequence[Sample], word: Word, options: ExtractionOptions, said: Texts | None) -> Asked:
        """What is asked for one word."""
        return cls(samples, candidates(samples, word, options.require), (word,), False, options, said)

    @classmethod
    def of_many(
        cls, samples: Sequence[Sample], words: Sequence[Word], options: ExtractionOptions, said: Texts | None
    ) -> Asked:
        """What is asked for many words, or for one in the form of many."""
        check_words(samples, words, options.require)
        return cls(samples, having_any(samples, words, options.require), tuple(words), True, options, said)

    @property
    def without(self) -> Counts:
        """The samples that lack the words in their references, so that nothing is asked of them."""
        n = len(self.samples) - len(self.some)
        return Counts(scanned=n, without_word=n)

    @property
    def source(self) -> dict[str, Any]:
        """The samples, as a manifest has them."""
        return {"n": len(self.samples), "ids_sha256": _ids_hash(self.samples)}

    @property
    def data(self) -> dict[str, Any] | None:
        """What was read of the samples' source, as a manifest has it; None where that is not known."""
        origin = summary_of(self.samples)
        return None if origin is None else origin.as_dict()

    def check_kept(self, counts: Counts, texts: Sequence[str], discard: Callable[[], None], out: Path) -> None:
        """Raises if no state was found, after `discard`; logs which samples were left out.

        Raises:
            WordError, DataError: there is no state.
        """
        if counts.unreadable:
            log.warning("%d samples were left out; the manifest in %s lists them", len(counts.unreadable), out)
        if not counts.kept:
            discard()
            if counts.without_state:
                raise DataError(
                    f"None of {counts.without_state} answers with {_named(self.words)} has the positions "
                    f"{self.options.read_at!r}."
                )
            raise _nothing(counts, self.words, self.some, texts)


def sized(
    lmm: LMM,
    samples: Sequence[Sample],
    words: Sequence[Word],
    options: ExtractionOptions,
    said: Texts | None = None,
) -> ExtractionOptions:
    """The options with a batch size that is found for these samples, where it is "auto"."""
    if options.batch_size != "auto":
        return options
    some = having_any(samples, words, options.require)
    return replace(options, batch_size=Worker(lmm, tuple(words), options).best_size(some, said, False))


def _written(asked: Asked, lmm: LMM | Loader, work: WorkOptions, out: Path, progress: Progress) -> Store:
    """The store at `out` with its shards, or with those of a rank.

    Raises:
        WordError, DataError: there is no state; the store is gone again.
    """
    some = asked.some
    if asked.options.require != "predicted":
        log.info("%d of %d samples hold %s in a reference", len(some), len(asked.samples), _named(asked.words))
    if work.engine == "local":
        make = partial(Worker, lmm if isinstance(lmm, LMM) else lmm(), asked.words, asked.options)
    else:
        make = partial(_loaded, loader_of(lmm), asked.words, asked.options)
    with pool_of(make, work) as pool:
        return _filled(asked, pool, work.part, out, progress)


def _loaded(load: Loader, words: tuple[Word, ...], options: ExtractionOptions) -> Worker:
    """A worker in a process of its own, which loads the model."""
    return Worker(load(), words, options)


def _filled(asked: Asked, pool: Pool[Worker], part: Part | None, out: Path, progress: Progress) -> Store:
    """The store at `out`, with the shards that `pool` makes."""
    some, said = asked.some, asked.said
    parts = Parts(some, asked.options.shard_size)
    first = parts[0] if parts else []
    prepared = pool.once(Worker.prepare, first if said is None else some, said)
    _check_room(out, _n_rows(some, asked.words), prepared.size, asked.options.batch_size)
    parents = {} if said is None else said.parents
    parameters = {**asked.named(), **prepared.parameters(asked.source, said)}
    store = Store(out, parameters, len(parts), parts.digests, parents, part, asked.data)
    missing = store.missing()
    if missing and store.certificate is None and (certificate := pool.once(Worker.certificate, first)):
        store.certify(certificate)
    way = Way(asked.options.of_the_word and keeps_states(store.certificate))
    if missing and asked.options.batch_size == "auto":
        way = replace(way, batch_size=store.batch_size or pool.once(Worker.best_size, some, said, way.live))
        log.info("batch size %d", way.batch_size)
        store.certify(store.certificate, way.batch_size)
    texts: list[str] = []
    kept, tally = 0, Tally(progress, "extract", sum(len(parts[i]) for i in missing))
    jobs = ((i, (parts[i], None if said is None else said.of(parts[i]), way)) for i in missing)
    with Writer() as writer:
        for number, (read, digests) in pool.each(Worker.read, jobs, tally.within):
            kept += len(read.rows)
            texts = [] if kept else [*texts, *read.said]  # for the error if there is no state at all
            counts = read.counts
            if number == 0:  # the samples without the word in a reference were looked at, too
                counts += asked.without
            parts.keep(number, digests)
            writer.write(partial(store.write, number, read.states, read.rows, counts))
            tally.add(len(parts[number]))
    if part is None or store.counts().kept:
        asked.check_kept(store.counts(), texts, store.discard, out)
    return store


def _named(words: Sequence[Word]) -> str:
    """The word, or how many there are."""
    return repr(words[0].text) if len(words) == 1 else f"one of {len(words)} words"


def _ids_hash(samples: Sequence[Sample]) -> str:
    return hashlib.sha256("\n".join(s.id for s in samples).encode()).hexdigest()


def _n_rows(samples: Sequence[Sample], words: Sequence[Word]) -> int:
    """About how many rows there will be: one for each sample; with many words, by how many of them the references of
    some samples have."""
    if len(words) == 1 or not samples:
        return len(samples)
    some = samples[:: -(-len(samples) // 500)]
    held = sum(any(word.find(text) for text in s.said) for s in some for word in words)
    return max(len(samples), len(samples) * held // len(some))


def _check_room(out: Path, n: int, each: int, batch_size: int | str) -> None:
    """Logs what a run may need before it starts: `each` bytes for the states of each of `n` rows, and thumbnails.

    Raises:
        ArtifactError: the disk cannot hold the result.
    """
    need = n * (each + 8_000)
    free = check_room(out, need)
    log.info(
        "up to %d states; batch size %s; about %.1f MB on disk, %.1f GB are free",
        *(n, batch_size, need / 1e6, free / 1e9),
    )


def _nothing(counts: Counts, wanted: Sequence[Word], candidates: Sequence[Sample], said: Sequence[str]) -> DataError:
    """The error that says why no state was found."""
    if len(counts.unreadable) == len(candidates):
        sample, why = counts.unreadable[0]
        return DataError(f"None of {len(candidates)} samples could be read; the first, {sample}: {why}")
    instead = ", ".join(words.nearest(wanted[0].text, said))
    return WordError(
        f"The model never said {_named(wanted)} for {len(candidates)} samples."
        + (f" Words that it did say: {instead}." if instead else "")
    )
