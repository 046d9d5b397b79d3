"""Reads the states of words: asks the model, finds the words in its answer, and reads the residual stream there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vitrail import words
from vitrail.activations import Counts, ExtractionOptions, Row
from vitrail.errors import DataError, NumericsError
from vitrail.lmm import LMM, Generation, Layer
from vitrail.lmm.doctor import Diagnosis, quick
from vitrail.lmm.running import halving, in_batches
from vitrail.samples import Sample, thumbnail
from vitrail.samples.opening import Opener
from vitrail.saying import Asked, Texts, answers, asked_of
from vitrail.words import Match, Word


@dataclass(frozen=True)
class Reading:
    """What was read of some samples.

    Args:
        states: layer → (n_rows, n_features), in the model's dtype.
        rows: where each state comes from: word by word, and sample by sample for each.
        counts: how many samples were looked at, how many states were kept, and how many samples were left out.
        said: the answers of the model to all samples whose image could be read.
    """

    states: dict[Layer, Tensor]
    rows: tuple[Row, ...]
    counts: Counts
    said: tuple[str, ...]


@dataclass(frozen=True)
class _Spot:
    """Where a word stands in an answer: `token` is the place of its token, `offset` that of the state that is read.

    Both count the tokens of the answer; the state at −1 is the last one of the prompt.
    """

    word: Word
    match: Match
    token: int
    offset: int


@dataclass(frozen=True)
class _Found:
    """An answer that has some of the words."""

    asked: Asked
    answer: Generation
    spots: tuple[_Spot, ...]

    @property
    def needed(self) -> tuple[int, ...]:
        """The tokens of the answer up to the last state that is read; later ones do not change it."""
        return self.answer.ids[: max(spot.offset for spot in self.spots) + 1]

    @property
    def shape(self) -> tuple[int, ...]:
        """What decides the width of a row in a batch."""
        return (*self.asked.shape, len(self.needed))


#: A row, and layer → its state (n_features,).
_Read = tuple[Row, dict[Layer, Tensor]]


@dataclass(frozen=True)
class Reader:
    """Reads the states of `words` in what `lmm` says, or in what was `said` before, as `options` ask."""

    lmm: LMM
    words: tuple[Word, ...]
    options: ExtractionOptions
    said: Texts | None = None

    def read(self, samples: Sequence[Sample], step: Callable[[int], None] = lambda n: None) -> Reading:
        """The states of those `samples` that have a word.

        Args:
            samples: those of one shard; images that cannot be read are counted and left out.
            step: called with the number of samples that are done.

        Raises:
            NumericsError: a state is not finite.
        """
        opener = Opener(skipped=self._unsaid(samples))
        asked = asked_of(self.lmm, [s for s in samples if s.id not in opener.skipped], opener)
        before = len(samples) - len(asked)
        answered = self._answered(asked, opener, lambda n: step(before + n))
        found = [f for one in answered if (f := self._find(*one))]
        of_each = in_batches(
            lambda batch: opener.each(batch, lambda f: f.asked.sample, self._states),
            found,
            self.options.batch_size,
            shape=lambda f: f.shape,
            pixels=lambda f: f.asked.pixels,
            step=lambda n: None if self._speaks else step(min(before + n, len(samples))),
        )
        order = {word.text: i for i, word in enumerate(self.words)}
        read = sorted((one for of_one in of_each for one in of_one or ()), key=lambda one: order[one[0].word])
        rows = tuple(row for row, _ in read)
        states = {layer: self._stacked([of_layer[layer] for _, of_layer in read]) for layer in self.options.layers}
        for layer, tensor in states.items():
            _check_finite(tensor, layer, rows)
        step(len(samples))
        unreadable = tuple((s.id, opener.skipped[s.id]) for s in samples if s.id in opener.skipped)
        without = len(samples) - len({row.sample_id for row in rows}) - len(unreadable)
        counts = Counts(len(samples), len(rows), without, unreadable)
        return Reading(states, rows, counts, tuple(answer.text for _, answer, _ in answered))

    def certificate(self, samples: Sequence[Sample]) -> dict[str, Any] | None:
        """The doctor's certificate of the model, from the first two of `samples` that can be opened; None without one.

        Raises:
            ModelError: the states that would be read are not those that the model computes.
        """
        opened: list[tuple[Image.Image, str]] = []
        for sample in samples:
            with suppress(DataError):  # it is listed when it is read
                opened.append((sample.open(), self.lmm.request(sample)))
            if len(opened) == 2:
                break

        def examine(batch: Sequence[tuple[Image.Image, str]]) -> list[Diagnosis]:
            return [quick(self.lmm, [image for image, _ in batch], [request for _, request in batch])]

        found = halving(examine, opened) if opened else []
        return found[0].certificate() if found else None

    @property
    def _speaks(self) -> bool:
        """Whether the model is asked now."""
        return self.said is None and self.options.require != "truth"

    def _unsaid(self, samples: Sequence[Sample]) -> dict[str, str]:
        """Those of `samples` of which nothing was said before, each with the reason."""
        return {} if self.said is None else {s.id: self.said.unsaid[s.id] for s in samples if s.id in self.said.unsaid}

    def _answered(
        self, asked: Sequence[Asked], opener: Opener, step: Callable[[int], None]
    ) -> list[tuple[Asked, Generation, tuple[Word, ...]]]:
        """What is said of each image, and the words that are looked for in it.

        That is one answer of the model, or the references that take its place: the first that has the word.
        """
        if self._speaks:
            n, size = self.options.max_new_tokens, self.options.batch_size
            said = answers(self.lmm, asked, opener, max_new_tokens=n, batch_size=size, step=step)
            return [(a, answer, self.words) for a, answer in zip(asked, said, strict=True) if answer is not None]
        if self.said is not None:
            return [(a, self.said.generation(self.lmm, a.sample), self.words) for a in asked]
        found = []
        for a in asked:
            having: dict[str, list[Word]] = {}
            for word in self.words:
                text = next((text for text in a.sample.said if word.find(text)), None)
                if text is not None:
                    having.setdefault(text, []).append(word)
            found += [(a, self.lmm.continuation(a.request, text), tuple(of)) for text, of in having.items()]
        return found

    def _counts(self, word: Word, sample: Sample) -> bool:
        """Whether `word` counts for `sample` where the model says it."""
        return self.options.require != "both" or any(word.find(text) for text in sample.said)

    def _find(self, asked: Asked, answer: Generation, wanted: Sequence[Word]) -> _Found | None:
        """Where the words stand in an answer; None without any."""
        matches = [
            (word, match) for word in wanted if (match := word.find(answer.text)) and self._counts(word, asked.sample)
        ]
        if not matches:
            return None
        offsets = words.token_offsets(self.lmm.tokenizer, answer.ids)
        spots = []
        for word, match in matches:
            first, last = words.token_span(offsets, match)
            # the state that predicts a token stands one position before it
            token, offset = (first, first - 1) if self.options.alignment == "predicts" else (last, last)
            spots.append(_Spot(word, match, token, offset))
        return _Found(asked, answer, tuple(spots))

    def _states(self, batch: Sequence[_Found], images: Sequence[Image.Image]) -> list[list[_Read]]:
        """For each answer its rows with their states, in one teacher-forced pass."""
        inputs = self.lmm.prepare(images, [f.asked.request for f in batch])
        width = inputs["input_ids"].shape[1]
        lengths = inputs["attention_mask"].sum(1).tolist()
        spots = [(i, spot) for i, f in enumerate(batch) for spot in f.spots]
        positions = [width + spot.offset for _, spot in spots]
        states = self.lmm.states(
            inputs, [f.needed for f in batch], positions, self.options.layers, [i for i, _ in spots]
        )
        found: list[list[_Read]] = [[] for _ in batch]
        pictures = [thumbnail(image) for image in images]
        for k, (i, spot) in enumerate(spots):
            row = _row(batch[i], spot, lengths[i] + spot.offset, pictures[i])
            found[i].append((row, {layer: states[layer][k] for layer in self.options.layers}))
        return found

    def _stacked(self, states: list[Tensor]) -> Tensor:
        """(n, n_features), also where there are none."""
        return (
            torch.stack(states) if states else torch.empty(0, self.lmm.n_features, dtype=getattr(torch, self.lmm.dtype))
        )


def _row(found: _Found, spot: _Spot, position: int, picture: bytes) -> Row:
    asked, answer = found.asked, found.answer
    return Row(
        sample_id=asked.sample.id,
        image=asked.sample.name,
        references=asked.sample.said,
        request=asked.request,
        text=answer.text,
        form=spot.match.form,
        start=spot.match.start,
        end=spot.match.end,
        token_ids=answer.ids,
        token=spot.token,
        position=position,
        thumbnail=picture,
        word=spot.word.text,
    )


def _check_finite(states: Tensor, layer: Layer, rows: Sequence[Row]) -> None:
    bad = (~torch.isfinite(states)).any(dim=1).nonzero().flatten().tolist()
    if bad:
        ids = ", ".join(rows[i].sample_id for i in bad[:5])
        raise NumericsError(
            f"{len(bad)} of {len(rows)} states of layer {layer} are not finite (samples {ids}). "
            "Load the model in a wider dtype: --dtype bfloat16 or float32."
        )
