"""`extract`: samples + LMM + word → activations.

For every sample the model is asked for a caption (or for the answer to its question), the word is looked for in the
decoded text, and the residual stream at the word is read in one teacher-forced pass over all layers wanted
(CoX-LMM, Parekh et al. 2024, section 3.2: `X = {X_i : t ∈ f(X_i) and t ∈ y_i}`).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

import torch

from vitrail import words
from vitrail.activations import Activations, Counts, ExtractionOptions, Require, Store
from vitrail.artifacts import folder_for, one_writer, same_volume_free
from vitrail.errors import ArtifactError, DataError, WordError
from vitrail.extraction.checks import candidates, check_word
from vitrail.extraction.reader import Reader
from vitrail.lmm import LMM, Layer, as_lmm
from vitrail.progress import Progress, shown, silent
from vitrail.samples import Sample, as_samples
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
    shard_size: int = 256,
    progress: Progress | bool = True,
) -> Activations:
    """States of `word`, one row per sample that has it, written to the folder `out`.

    A run that was stopped goes on, and gives the same bytes: what is there is checked, each file against its hash and
    each sample by its content, and shards that are missing, damaged, or made from other samples are made again.

    Args:
        lmm: the model, or its name or folder, as `load` takes it.
        samples: the samples, or their name, file or folder, as `load_samples` takes them.
        out: `vitrail-studies/WORD/activations` for None.
        layers: which states are kept; this and the following as in `ExtractionOptions`.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        WordError: no sample has the word; the nearest words that occur are named.
        DataError: no samples, or no image could be read.
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
        shard_size=shard_size,
    )
    word = Word(word) if isinstance(word, str) else word
    out = out or folder_for(None, "studies", word.text, progress) / "activations"
    with shown(progress) as tell:
        samples = as_samples(samples, tell)
        if isinstance(lmm, str | Path):
            check_word(samples, word, require)  # before a model is loaded
        return extract_as(as_lmm(lmm), samples, word, options, out=out, progress=tell)


@one_writer
def extract_as(
    lmm: LMM,
    samples: Sequence[Sample],
    word: Word | str,
    options: ExtractionOptions,
    *,
    out: str | Path,
    progress: Progress = silent,
) -> Activations:
    """`extract` with its options as one value: those of other activations make the same again; see `extract`."""
    word = Word(word) if isinstance(word, str) else word
    if not samples:
        raise DataError("There are no samples to extract from.")
    if options.prompt is not None:
        lmm = replace(lmm, prompt=options.prompt)
    layers = lmm.layers(options.layers)
    options = replace(options, layers=layers, prompt=lmm.prompt)
    asked = candidates(samples, word, options.require)
    out = Path(out)
    parameters = {
        "model": lmm.describe().as_dict(),
        "samples": {"n": len(samples), "ids_sha256": _ids_hash(samples)},
        "word": asdict(word),
        **asdict(options),
    }
    if options.require != "predicted":
        log.info("%d of %d samples hold %r in a reference", len(asked), len(samples), word.text)
    _check_room(out, lmm, len(asked), len(layers))
    size = options.shard_size
    shards = [asked[i : i + size] for i in range(0, len(asked), size)]
    store = Store(out, parameters, len(shards), cache(lambda number: [s.digests() for s in shards[number]]))
    reader = Reader(lmm, word, options)
    missing = store.missing()
    if missing and not store.certified and (certificate := reader.certificate(shards[missing[0]])):
        store.certify(certificate)
    said: list[str] = []
    done, total = 0, sum(len(shards[i]) for i in missing)
    for number in missing:
        read = reader.read(shards[number], lambda n, done=done: progress("extract", done + n, total))  # type: ignore[misc]
        said += read.said
        counts = read.counts
        if number == 0:  # the samples without the word in a reference were looked at, too
            skipped = len(samples) - len(asked)
            counts += Counts(scanned=skipped, without_word=skipped)
        store.write(number, read.states, read.rows, counts)
        done += len(shards[number])
    counts = store.counts()
    if counts.unreadable:
        log.warning("%d images could not be read; the manifest in %s lists them", len(counts.unreadable), out)
    if not counts.kept:
        store.discard()
        raise _nothing(counts, word, asked, said)
    return store.finish()


def _ids_hash(samples: Sequence[Sample]) -> str:
    return hashlib.sha256("\n".join(s.id for s in samples).encode()).hexdigest()


def _check_room(out: Path, lmm: LMM, n: int, n_layers: int) -> None:
    """Logs what a run may need before it starts.

    Raises:
        ArtifactError: the disk cannot hold the result.
    """
    thumbnails = 8_000 * n
    need = n * n_layers * lmm.n_features * torch.finfo(getattr(torch, lmm.dtype)).bits // 8 + thumbnails
    free = same_volume_free(out)
    log.info("up to %d samples to look at; at most %.1f MB on disk, %.1f GB are free", n, need / 1e6, free / 1e9)
    if need > free:
        raise ArtifactError(
            f"The disk is too small: up to {need / 1e9:.2f} GB may be written to {out}, {free / 1e9:.2f} GB are free."
        )


def _nothing(counts: Counts, word: Word, candidates: Sequence[Sample], said: Sequence[str]) -> DataError:
    """The error that says why no state was found."""
    if len(counts.unreadable) == len(candidates):
        sample, why = counts.unreadable[0]
        return DataError(f"None of {len(candidates)} images could be read; the first, of sample {sample}: {why}")
    instead = ", ".join(words.nearest(word.text, said))
    return WordError(
        f"The model never said {word.text!r} for {len(candidates)} samples."
        + (f" Words that it did say: {instead}." if instead else "")
    )
