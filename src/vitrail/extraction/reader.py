"""Reads the states of words: asks the model, finds the words in its answer, and reads the residual stream there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vitrail import words
from vitrail.activations import Counts, ExtractionOptions, Row
from vitrail.errors import DataError, ModelError, NumericsError
from vitrail.lmm import LMM, Generation, Layer
from vitrail.lmm.doctor import Diagnosis, quick
from vitrail.lmm.running import halving, in_batches
from vitrail.lmm.watching import Spoken
from vitrail.samples import Sample, thumbnail
from vitrail.samples.opening import Opener
from vitrail.saying import Asked, Texts, asked_of, in_turn
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
class _Answer:
    """What is said of one sample.

    Args:
        text: the answer.
        found: the words in it; None without any.
        read: the states of these words where they are known already; None where another pass must read them.
    """

    text: str
    found: _Found | None
    read: list[_Read] | None = None


@dataclass(frozen=True)
class Reader:
    """Reads the states of `words` in what `lmm` says, or in what was `said` before, as `options` ask.

    Args:
        lmm: the model.
        words: those that are looked for.
        options: which states, and of which answers.
        said: what was said before; None asks the model.
        live: whether states are kept while the model speaks, so that there is no second pass; see `doctor.LIVE`.
    """

    lmm: LMM
    words: tuple[Word, ...]
    options: ExtractionOptions
    said: Texts | None = None
    live: bool = False

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
        answers = self._answers(asked, opener, lambda n: step(before + n))
        having = [(a.found, a.read) for a in answers if a.found is not None]
        again = in_batches(
            lambda batch: opener.each(batch, lambda f: f.asked.sample, self._states),
            [found for found, read in having if read is None],
            self.options.batch_size,
            shape=lambda f: f.shape,
            pixels=lambda f: f.asked.pixels,
            step=lambda n: None if self._speaks else step(min(before + n, len(samples))),
        )
        others = iter(again)
        of_each = [next(others) if read is None else read for _, read in having]
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
        return Reading(states, rows, counts, tuple(answer.text for answer in answers))

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

    def _answers(self, asked: Sequence[Asked], opener: Opener, step: Callable[[int], None]) -> list[_Answer]:
        """What is said of each image: an answer of the model, or what was said before, or the references that take its
        place: the first that has the word."""
        if self._speaks:
            said = in_turn(asked, opener, self._spoken, batch_size=self.options.batch_size, step=step)
            return [answer for answer in said if answer is not None]
        if self.said is not None:
            texts = [(a, g, self.words) for a in asked if (g := self._said_before(a.sample, opener)) is not None]
        else:
            texts = [
                (a, self.lmm.continuation(a.request, text), of_text)
                for a in asked
                for text, of_text in self._references(a.sample).items()
            ]
        return [_Answer(answer.text, self._find(a, answer, wanted)) for a, answer, wanted in texts]

    def _said_before(self, sample: Sample, opener: Opener) -> Generation | None:
        """What was said of `sample` before; None, and `opener` lists it, where that cannot be put into tokens."""
        assert self.said is not None
        try:
            return self.said.generation(self.lmm, sample)
        except DataError as error:
            opener.skipped[sample.id] = str(error)
            return None

    def _references(self, sample: Sample) -> dict[str, tuple[Word, ...]]:
        """The references that are read, each with the words that it is the first to have."""
        found: dict[str, tuple[Word, ...]] = {}
        for word in self.words:
            text = next((text for text in sample.said if word.find(text)), None)
            if text is not None:
                found[text] = (*found.get(text, ()), word)
        return found

    def _spoken(self, batch: Sequence[Asked], images: Sequence[Image.Image]) -> list[_Answer]:
        """What the model says of each image, with the states of the words in it where they could be kept."""
        inputs = self.lmm.prepare(images, [a.request for a in batch])
        heard: list[Spoken | ModelError] = []
        with self.lmm.watched(self.options.layers, heard.append) if self.live else nullcontext():
            said = self.lmm.generate(inputs, self.options.max_new_tokens)
        found = [self._find(a, answer, self.words) for a, answer in zip(batch, said, strict=True)]
        kept = self._kept(heard, self.lmm.together(inputs), found) if self.live else {}
        lengths = inputs["attention_mask"].sum(1).tolist()
        return [
            _Answer(answer.text, f, _rows(f, lengths[i], images[i], kept[i]) if f and i in kept else None)
            for i, (answer, f) in enumerate(zip(said, found, strict=True))
        ]

    def _kept(
        self, heard: Sequence[Spoken | ModelError], groups: Sequence[Sequence[int]], found: Sequence[_Found | None]
    ) -> dict[int, list[dict[Layer, Tensor]]]:
        """Row of the batch → layer → state for each of its spots, on the host; without rows that lack one.

        The state after the last token of an answer that was cut was never computed, nor is any known where passes could
        not be told apart: those are read in another pass.
        """
        kept: dict[int, list[dict[Layer, Tensor]]] = {}
        if len(heard) != len(groups):
            return kept
        for group, spoken in zip(groups, heard, strict=True):
            if isinstance(spoken, ModelError):
                continue
            n = spoken.ids.shape[1]
            spots = [
                (i, k, spot.offset + 1)
                for k, i in enumerate(group)
                if (f := found[i]) and all(spot.offset + 1 < n for spot in f.spots)
                for spot in f.spots
            ]
            if spots:
                rows, steps = [k for _, k, _ in spots], [step for _, _, step in spots]
                states = {layer: spoken.at(layer, rows, steps).cpu() for layer in self.options.layers}
                for j, (i, _, _) in enumerate(spots):
                    kept.setdefault(i, []).append({layer: states[layer][j] for layer in self.options.layers})
        return kept

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
        of_row: list[list[dict[Layer, Tensor]]] = [[] for _ in batch]
        for k, (i, _) in enumerate(spots):
            of_row[i].append({layer: states[layer][k] for layer in self.options.layers})
        return [_rows(f, lengths[i], images[i], of_row[i]) for i, f in enumerate(batch)]

    def _stacked(self, states: list[Tensor]) -> Tensor:
        """(n, n_features), also where there are none."""
        return (
            torch.stack(states) if states else torch.empty(0, self.lmm.n_features, dtype=getattr(torch, self.lmm.dtype))
        )


def _rows(found: _Found, length: int, image: Image.Image, states: Sequence[dict[Layer, Tensor]]) -> list[_Read]:
    """The row of each word in an answer, with its states; `length` is that of the prompt."""
    asked, answer, picture = found.asked, found.answer, thumbnail(image)
    return [
        (
            Row(
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
                position=length + spot.offset,
                thumbnail=picture,
                word=spot.word.text,
            ),
            of_layer,
        )
        for spot, of_layer in zip(found.spots, states, strict=True)
    ]


def _check_finite(states: Tensor, layer: Layer, rows: Sequence[Row]) -> None:
    bad = (~torch.isfinite(states)).any(dim=1).nonzero().flatten().tolist()
    if bad:
        ids = ", ".join(rows[i].sample_id for i in bad[:5])
        raise NumericsError(
            f"{len(bad)} of {len(rows)} states of layer {layer} are not finite (samples {ids}). "
            "Load the model in a wider dtype: --dtype bfloat16 or float32."
        )
