"""`extract` and `extract_words`: samples + LMM + word, or many words → activations.

For every sample the model is asked for a caption (or for the answer to its question), the word is looked for in the
decoded text, and the residual stream at the word is kept while the model speaks, or read in one teacher-forced pass
over all layers wanted (CoX-LMM, Parekh et al. 2024, section 3.2: `X = {X_i : t ∈ f(X_i) and t ∈ y_i}`).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from vitrail import words
from vitrail.activations import Activations, Counts, ExtractionOptions, Require, Store, WordStore
from vitrail.activations.many import index_of
from vitrail.activations.store import KIND
from vitrail.artifacts import check_place, folder_for, one_writer, same_volume_free
from vitrail.errors import ArtifactError, DataError, UsageError, WordError
from vitrail.extraction.checks import candidates, check_word, check_words, having_any
from vitrail.extraction.reader import Reader
from vitrail.lmm import LMM, Layer, as_lmm
from vitrail.lmm.doctor import keeps_states
from vitrail.progress import Progress, shown, silent
from vitrail.samples import Sample, as_samples
from vitrail.saying import Texts, open_texts
from vitrail.words import Alignment, Word

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
    lmm: LMM,
    samples: Sequence[Sample],
    word: Word | str,
    options: ExtractionOptions,
    *,
    out: str | Path,
    said: Texts | None = None,
    progress: Progress = silent,
) -> Activations:
    """`extract` with its options as one value: those of other activations make the same again; see `extract`."""
    word = Word(word) if isinstance(word, str) else word
    asked = _Asked(lmm, samples, candidates(samples, word, options.require), (word,), options, said)
    store = _written(asked, Path(out), {"word": asdict(word)}, progress)
    return store.finish()


@one_writer
def extract_words_as(
    lmm: LMM,
    samples: Sequence[Sample],
    words: Sequence[Word],
    options: ExtractionOptions,
    *,
    out: str | Path,
    said: Texts | None = None,
    progress: Progress = silent,
) -> WordStore:
    """`extract_words` for a model that is loaded; see there."""
    check_words(samples, words, options.require)
    out = Path(out)
    some = having_any(samples, words, options.require)
    asked = _Asked(lmm, samples, some, tuple(words), options, said)
    store = _written(asked, out / "activations", {"words": [asdict(word) for word in words]}, progress)
    made = WordStore(out, store.finish_files({"words": index_of(words, [r.words for r in store.records()])}))
    for word in words:  # a folder for the study of each
        made.of(word.text)
    return made


@dataclass(frozen=True)
class _Asked:
    """What is asked of a model: `some` are those of the samples that may have one of the words."""

    lmm: LMM
    samples: Sequence[Sample]
    some: list[Sample]
    words: tuple[Word, ...]
    options: ExtractionOptions
    said: Texts | None

    def resolved(self) -> _Asked:
        """The same with the model's own prompt and its own names of layers, checked against what was said."""
        prompt, said, options = self.options.prompt, self.said, self.options
        lmm = self.lmm if prompt is None else replace(self.lmm, prompt=prompt)
        layers = (*lmm.layers(options.decoder), *lmm.sight(options.sight))
        options = replace(options, layers=layers, prompt=lmm.prompt)
        if said is not None:
            if options.require == "truth":
                raise UsageError("What was said is not looked at with `require` “truth”, which reads the references.")
            said.check(lmm, self.some)
            options = replace(options, max_new_tokens=said.max_new_tokens or options.max_new_tokens)
        return replace(self, lmm=lmm, options=options)

    def parameters(self) -> dict[str, Any]:
        """What decides the states, beside the words."""
        said = {} if self.said is None else {"said": {**self.said.by, "tokens": self.said.tokens, **self.said.sealed}}
        sight = self.lmm.sight(self.options.sight)
        return {
            "model": self.lmm.describe().as_dict(),
            "samples": {"n": len(self.samples), "ids_sha256": _ids_hash(self.samples)},
            **said,
            **asdict(self.options),
            **({"modules": sight} if sight else {}),
        }


def _written(asked: _Asked, out: Path, named: dict[str, Any], progress: Progress) -> Store:
    """The store at `out` with all its shards; `named` is the word or the words, as the manifest has them.

    Raises:
        WordError, DataError: there is no state; the store is gone again.
    """
    asked = asked.resolved()
    lmm, options, some, said = asked.lmm, asked.options, asked.some, asked.said
    if options.require != "predicted":
        log.info("%d of %d samples hold %s in a reference", len(some), len(asked.samples), _named(asked.words))
    reader = Reader(lmm, asked.words, options, said)
    _check_room(out, _n_rows(some, asked.words), reader.check(some))
    size = options.shard_size
    shards = [some[i : i + size] for i in range(0, len(some), size)]
    sources = cache(lambda number: [s.digests() for s in shards[number]])
    parents = {} if said is None else said.parents
    store = Store(out, {**named, **asked.parameters()}, len(shards), sources, parents)
    missing = store.missing()
    if missing and store.certificate is None and (certificate := reader.certificate(shards[missing[0]])):
        store.certify(certificate)
    reader = replace(reader, live=options.of_the_word and keeps_states(store.certificate))
    texts: list[str] = []
    done, total = 0, sum(len(shards[i]) for i in missing)
    for number in missing:
        if said is not None:
            said.check_images(sources(number))
        read = reader.read(shards[number], lambda n, done=done: progress("extract", done + n, total))  # type: ignore[misc]
        texts += read.said
        counts = read.counts
        if number == 0:  # the samples without the word in a reference were looked at, too
            skipped = len(asked.samples) - len(some)
            counts += Counts(scanned=skipped, without_word=skipped)
        store.write(number, read.states, read.rows, counts)
        done += len(shards[number])
    counts = store.counts()
    if counts.unreadable:
        log.warning("%d samples were left out; the manifest in %s lists them", len(counts.unreadable), out)
    if not counts.kept:
        store.discard()
        if counts.without_state:
            raise DataError(
                f"None of {counts.without_state} answers with {_named(asked.words)} has the positions "
                f"{options.read_at!r}."
            )
        raise _nothing(counts, asked.words, some, texts)
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


def _check_room(out: Path, n: int, each: int) -> None:
    """Logs what a run may need before it starts: `each` bytes for the states of each of `n` rows, and thumbnails.

    Raises:
        ArtifactError: the disk cannot hold the result.
    """
    need = n * (each + 8_000)
    free = same_volume_free(out)
    log.info("up to %d states; about %.1f MB on disk, %.1f GB are free", n, need / 1e6, free / 1e9)
    if need > free:
        raise ArtifactError(
            f"The disk is too small: up to {need / 1e9:.2f} GB may be written to {out}, {free / 1e9:.2f} GB are free."
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
