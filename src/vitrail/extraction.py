"""Extraction: samples + LMM + word → activations.

For every sample the model is asked for a caption (or for the answer to its question), the word is looked for in the
decoded text, and the residual stream at the word is read in one teacher-forced pass over all layers wanted
(CoX-LMM, Parekh et al. 2024, section 3.2: `X = {X_i : t ∈ f(X_i) and t ∈ y_i}`).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from vitrail import words
from vitrail.activations import Activations, Counts, ExtractionOptions, Require, Store
from vitrail.artifacts import same_volume_free
from vitrail.errors import ArtifactError, DataError, NumericsError, WordError
from vitrail.lmm import LMM, Generation, Layer
from vitrail.lmm.doctor import Diagnosis, quick
from vitrail.progress import Progress, silent
from vitrail.samples import Sample, thumbnail
from vitrail.words import Alignment, Word

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class _Seen:
    """A sample whose image could be read, what is asked of it, and what came out."""

    sample: Sample
    image: Image.Image
    request: str
    generation: Generation | None = None


def extract(
    lmm: LMM,
    samples: Sequence[Sample],
    word: Word | str,
    *,
    out: str | Path,
    layers: Sequence[Layer] = (-1,),
    alignment: Alignment = "predicts",
    require: Require = "both",
    max_new_tokens: int = 40,
    batch_size: int = 32,
    shard_size: int = 256,
    progress: Progress = silent,
) -> Activations:
    """States of `word`, one row per sample that has it, written to the folder `out`.

    A run that was stopped goes on at the first shard missing, and gives the same bytes.

    Args:
        layers: which states are kept; this and the following as in `ExtractionOptions`.

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
    return extract_as(lmm, samples, word, options, out=out, progress=progress)


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
    layers = sorted({lmm.layer(layer) for layer in options.layers}, key=lambda v: (v == "final", v))
    options = replace(options, layers=tuple(layers), prompt=lmm.prompt)
    candidates = _candidates(samples, word, options.require)
    out = Path(out)
    parameters = {
        "model": lmm.describe().as_dict(),
        "samples": {"n": len(samples), "ids_sha256": _ids_hash(samples)},
        "word": asdict(word),
        **asdict(options),
    }
    if options.require != "predicted":
        log.info("%d of %d samples hold %r in a reference", len(candidates), len(samples), word.text)
    _check_room(out, lmm, len(candidates), len(layers))
    size = options.shard_size
    shards = [candidates[i : i + size] for i in range(0, len(candidates), size)]
    store = Store(out, parameters, len(shards))
    reader = Reader(lmm, word, options)
    said: list[str] = []
    skipped = len(samples) - len(candidates)
    missing = store.missing()
    if missing and not store.certified and (certificate := reader.certificate(shards[missing[0]])):
        store.certify(certificate)
    total = sum(len(shards[i]) for i in missing)
    done = 0
    for number in missing:

        def step(n: int, before: int = done) -> None:
            progress("extract", before + n, total)

        states, rows, counts = reader.read(shards[number], step, said)
        if number == 0:  # those that no reference speaks of were looked at, too
            counts += Counts(scanned=skipped, without_word=skipped)
        store.write(number, states, rows, counts)
        done += len(shards[number])
    counts = store.counts()
    if counts.unreadable:
        log.warning("%d images could not be read; the manifest in %s lists them", len(counts.unreadable), out)
    if not counts.kept:
        store.discard()
        raise _nothing(counts, word, candidates, said)
    return store.finish()


def _candidates(samples: Sequence[Sample], word: Word, require: Require) -> list[Sample]:
    """The samples worth asking the model about."""
    if require == "predicted":
        return list(samples)
    found = [s for s in samples if any(word.find(text) for text in s.said)]
    if not found:
        raise words.absent(word, "references", (text for s in samples for text in s.said))
    return found


def _ids_hash(samples: Sequence[Sample]) -> str:
    return hashlib.sha256("\n".join(s.id for s in samples).encode()).hexdigest()


def _check_room(out: Path, lmm: LMM, n: int, n_layers: int) -> None:
    """Says what a run may need, before it starts, and refuses one that cannot end."""
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


@dataclass(frozen=True)
class Reader:
    """Reads the states of a word: asks, looks for the word, and takes the residual stream there."""

    lmm: LMM
    word: Word
    options: ExtractionOptions

    def read(
        self, samples: Sequence[Sample], step: Callable[[int], None], said: list[str]
    ) -> tuple[dict[int | str, Tensor], list[dict[str, Any]], Counts]:
        """States, rows and counts of one shard; adds what the model said to `said`."""
        seen, unreadable = self._open(samples)
        answered = in_batches(self._answer, seen, self.options.batch_size, _shape, lambda n: step(len(unreadable) + n))
        said += [s.generation.text for s in answered if s.generation]
        kept = [(s, place) for s in answered if (place := self._place(s))]
        parts = in_batches(self._states, kept, self.options.batch_size, lambda k: _shape(k[0]))
        rows = [row for _, (row, _) in kept]
        states: dict[int | str, Tensor] = {}
        for layer in self.options.layers:
            columns = [part[layer] for part in parts]
            states[layer] = (
                torch.stack(columns)
                if columns
                else torch.empty(0, self.lmm.n_features, dtype=getattr(torch, self.lmm.dtype))
            )
            _check_finite(states[layer], layer, rows)
        counts = Counts(len(samples), len(kept), len(seen) - len(kept), tuple(unreadable))
        step(len(samples))
        return states, rows, counts

    def certificate(self, samples: Sequence[Sample]) -> dict[str, Any] | None:
        """What the doctor finds of the model with the first of `samples`; None if none can be opened.

        Raises:
            ModelError: what would be read is not what the model computes.
        """
        seen: list[_Seen] = []
        for sample in samples:
            seen += self._open([sample])[0]
            if len(seen) == 2:
                break

        def examine(batch: Sequence[_Seen]) -> list[Diagnosis]:
            return [quick(self.lmm, [s.image for s in batch], [s.request for s in batch])]

        found = halving(examine, seen) if seen else []
        return found[0].certificate() if found else None

    def _open(self, samples: Sequence[Sample]) -> tuple[list[_Seen], list[tuple[str, str]]]:
        seen, unreadable = [], []
        for sample in samples:
            try:
                seen.append(_Seen(sample, sample.open(), self.lmm.request(sample)))
            except DataError as error:
                log.debug("skipped: %s", error)
                unreadable.append((sample.id, str(error)))
        return seen, unreadable

    def _answer(self, batch: Sequence[_Seen]) -> list[_Seen]:
        """The batch with what the model says of it, or with the reference that takes its place."""
        if self.options.require == "truth":
            texts = [next(t for t in s.sample.said if self.word.find(t)) for s in batch]
            answers = [self.lmm.continuation(s.request, t) for s, t in zip(batch, texts, strict=True)]
        else:
            inputs = self.lmm.prepare([s.image for s in batch], [s.request for s in batch])
            answers = self.lmm.generate(inputs, self.options.max_new_tokens)
        return [_Seen(s.sample, s.image, s.request, a) for s, a in zip(batch, answers, strict=True)]

    def _place(self, seen: _Seen) -> tuple[dict[str, Any], int] | None:
        """The row of a sample and the offset of its state from the end of the prompt; None without the word."""
        generation = seen.generation
        assert generation is not None
        match = self.word.find(generation.text)
        if match is None:
            return None
        first, last = words.token_span(words.token_offsets(self.lmm.tokenizer, generation.ids), match)
        token = first if self.options.alignment == "predicts" else last
        row = {
            "sample_id": seen.sample.id,
            "image": seen.sample.name,
            "references": list(seen.sample.said),
            "request": seen.request,
            "text": generation.text,
            "form": match.form,
            "start": match.start,
            "end": match.end,
            "token_ids": list(generation.ids),
            "token": token,
            "thumbnail": thumbnail(seen.image),
        }
        return row, token - 1 if self.options.alignment == "predicts" else token

    def _states(self, batch: Sequence[tuple[_Seen, tuple[dict[str, Any], int]]]) -> list[dict[Layer, Tensor]]:
        """For each sample layer → (features,); the rows learn their positions."""
        inputs = self.lmm.prepare([s.image for s, _ in batch], [s.request for s, _ in batch])
        width = inputs["input_ids"].shape[1]
        lengths = inputs["attention_mask"].sum(1).tolist()
        for (_, (row, offset)), length in zip(batch, lengths, strict=True):
            row["position"] = length + offset
        continuations = [row["token_ids"] for _, (row, _) in batch]
        positions = [width + offset for _, (_, offset) in batch]
        states = self.lmm.states(inputs, continuations, positions, self.options.layers)
        return [{layer: states[layer][i] for layer in self.options.layers} for i in range(len(batch))]


def _shape(seen: _Seen) -> tuple[int, ...]:
    """What decides how wide a row of a batch is: the image's size, and how much is asked."""
    return (*seen.image.size, len(seen.request))


def in_batches(
    run: Callable[[Sequence[Any]], list[T]],
    items: Sequence[Any],
    size: int,
    shape: Callable[[Any], Any],
    step: Callable[[int], None] = lambda n: None,
) -> list[T]:
    """What `run` gives for each of `items`, in their order; it gets them in batches of similar `shape`, to reduce
    padding."""
    order = sorted(range(len(items)), key=lambda i: shape(items[i]))
    found: dict[int, T] = {}
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        found |= dict(zip(chosen, halving(run, [items[i] for i in chosen]), strict=True))
        step(len(found))
    return [found[i] for i in range(len(items))]


def halving(run: Callable[[Sequence[Any]], list[T]], batch: Sequence[Any]) -> list[T]:
    """`run(batch)`; when memory runs out, the halves one after the other, down to a single sample."""
    try:
        return run(batch)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
        log.warning("out of memory at batch size %d: halved", len(batch))
    middle = len(batch) // 2
    return halving(run, batch[:middle]) + halving(run, batch[middle:])


def _check_finite(states: Tensor, layer: Layer, rows: Sequence[dict[str, Any]]) -> None:
    bad = (~torch.isfinite(states)).any(dim=1).nonzero().flatten().tolist()
    if bad:
        ids = ", ".join(rows[i]["sample_id"] for i in bad[:5])
        raise NumericsError(
            f"{len(bad)} of {len(rows)} states of layer {layer} are not finite (samples {ids}). "
            "Load the model in a wider dtype: --dtype bfloat16 or float32."
        )
