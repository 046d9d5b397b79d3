"""Reads the states of a word: asks the model, finds the word in the answer, and reads the residual stream there."""

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
from vitrail.words import Match, Word


@dataclass(frozen=True)
class Reading:
    """What was read of some samples.

    Args:
        states: layer → (n_rows, n_features), in the model's dtype.
        rows: where each state comes from.
        counts: how many samples were looked at, kept, and left out.
        said: the answers of the model to all samples whose image could be read.
    """

    states: dict[Layer, Tensor]
    rows: tuple[Row, ...]
    counts: Counts
    said: tuple[str, ...]


@dataclass(frozen=True)
class _Asked:
    """A sample, the size of its image by its header, and what the model is asked."""

    sample: Sample
    size: tuple[int, int]
    request: str

    @property
    def shape(self) -> tuple[int, ...]:
        """What decides the width of a row in a batch: the image's size, and the length of the request."""
        return (*self.size, len(self.request))

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]


@dataclass(frozen=True)
class _Found:
    """A sample whose answer has the word: `token` is the place of the state among the tokens of the answer."""

    asked: _Asked
    answer: Generation
    match: Match
    token: int


@dataclass(frozen=True)
class Reader:
    """Reads the states of `word` in what `lmm` says, as `options` ask."""

    lmm: LMM
    word: Word
    options: ExtractionOptions

    def read(self, samples: Sequence[Sample], step: Callable[[int], None] = lambda n: None) -> Reading:
        """The states of those `samples` that have the word.

        Args:
            samples: those of one shard; images that cannot be read are counted and left out.
            step: called with the number of samples that are done.

        Raises:
            NumericsError: a state is not finite.
        """
        size, opener = self.options.batch_size, Opener()
        asked = [_Asked(s, wide, self.lmm.request(s)) for s in samples if (wide := opener.size(s)) is not None]
        answers: list[Generation | None] = in_batches(
            lambda batch: self._answers(batch, opener),
            asked,
            size,
            shape=lambda a: a.shape,
            pixels=lambda a: a.pixels,
            step=lambda n: step(len(samples) - len(asked) + n),
        )
        answered = [(a, answer) for a, answer in zip(asked, answers, strict=True) if answer is not None]
        found = [f for a, answer in answered if (f := self._find(a, answer))]
        read = in_batches(
            lambda batch: opener.each(batch, lambda f: f.asked.sample, self._states),
            found,
            size,
            shape=lambda f: f.asked.shape,
            pixels=lambda f: f.asked.pixels,
        )
        kept = [one for one in read if one is not None]
        rows = tuple(row for row, _ in kept)
        states = {layer: self._stacked([of_layer[layer] for _, of_layer in kept]) for layer in self.options.layers}
        for layer, tensor in states.items():
            _check_finite(tensor, layer, rows)
        step(len(samples))
        unreadable = tuple((s.id, opener.skipped[s.id]) for s in samples if s.id in opener.skipped)
        counts = Counts(len(samples), len(rows), len(samples) - len(rows) - len(unreadable), unreadable)
        return Reading(states, rows, counts, tuple(answer.text for _, answer in answered))

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

    def _answers(self, batch: Sequence[_Asked], opener: Opener) -> list[Generation | None]:
        """What the model says of each image, or the reference that takes its place; None without an image."""
        if self.options.require != "truth":
            return opener.each(batch, lambda a: a.sample, self._said)
        texts = [next(text for text in a.sample.said if self.word.find(text)) for a in batch]
        return [self.lmm.continuation(a.request, text) for a, text in zip(batch, texts, strict=True)]

    def _said(self, batch: Sequence[_Asked], images: Sequence[Image.Image]) -> list[Generation]:
        inputs = self.lmm.prepare(images, [a.request for a in batch])
        return self.lmm.generate(inputs, self.options.max_new_tokens)

    def _find(self, asked: _Asked, answer: Generation) -> _Found | None:
        """Where the word stands in an answer; None without the word."""
        match = self.word.find(answer.text)
        if match is None:
            return None
        first, last = words.token_span(words.token_offsets(self.lmm.tokenizer, answer.ids), match)
        return _Found(asked, answer, match, first if self.options.alignment == "predicts" else last)

    def _states(self, batch: Sequence[_Found], images: Sequence[Image.Image]) -> list[tuple[Row, dict[Layer, Tensor]]]:
        """For each sample its row, and layer → (n_features,), in one teacher-forced pass."""
        inputs = self.lmm.prepare(images, [f.asked.request for f in batch])
        width = inputs["input_ids"].shape[1]
        lengths = inputs["attention_mask"].sum(1).tolist()
        # the state that predicts a token stands one position before it
        offsets = [f.token - 1 if self.options.alignment == "predicts" else f.token for f in batch]
        ids = [f.answer.ids for f in batch]
        states = self.lmm.states(inputs, ids, [width + offset for offset in offsets], self.options.layers)
        rows = [_row(f, image, n + o) for f, image, n, o in zip(batch, images, lengths, offsets, strict=True)]
        return [(row, {layer: states[layer][i] for layer in self.options.layers}) for i, row in enumerate(rows)]

    def _stacked(self, states: list[Tensor]) -> Tensor:
        """(n, n_features), also where there are none."""
        return (
            torch.stack(states) if states else torch.empty(0, self.lmm.n_features, dtype=getattr(torch, self.lmm.dtype))
        )


def _row(found: _Found, image: Image.Image, position: int) -> Row:
    asked, answer = found.asked, found.answer
    return Row(
        sample_id=asked.sample.id,
        image=asked.sample.name,
        references=asked.sample.said,
        request=asked.request,
        text=answer.text,
        form=found.match.form,
        start=found.match.start,
        end=found.match.end,
        token_ids=answer.ids,
        token=found.token,
        position=position,
        thumbnail=thumbnail(image),
    )


def _check_finite(states: Tensor, layer: Layer, rows: Sequence[Row]) -> None:
    bad = (~torch.isfinite(states)).any(dim=1).nonzero().flatten().tolist()
    if bad:
        ids = ", ".join(rows[i].sample_id for i in bad[:5])
        raise NumericsError(
            f"{len(bad)} of {len(rows)} states of layer {layer} are not finite (samples {ids}). "
            "Load the model in a wider dtype: --dtype bfloat16 or float32."
        )
