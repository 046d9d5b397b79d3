"""Reads the states of words: asks the model, finds the words in its answer, and reads the residual stream there."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vitrail import words
from vitrail.activations import Counts, ExtractionOptions, Patch, Row
from vitrail.errors import DataError, ModelError, NumericsError, UsageError
from vitrail.lmm import LMM, Batch, Generation, Layer
from vitrail.lmm.doctor import Diagnosis, quick
from vitrail.lmm.running import Batches, BatchSize, Group, halving
from vitrail.lmm.watching import Spoken
from vitrail.samples import Sample
from vitrail.samples.bounds import PIXELS
from vitrail.samples.opening import Opener
from vitrail.saying import Asked, BatchLoader, Loaded, Ready, Texts, asked_of
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
    """Where a word stands in an answer: `token` is the place of its token, `offset` that of the state of the word.

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
    whole: bool = False

    @property
    def needed(self) -> tuple[int, ...]:
        """The tokens of the answer up to the last state that is read; later ones do not change it. All if `whole`."""
        return self.answer.ids if self.whole else self.answer.ids[: max(spot.offset for spot in self.spots) + 1]

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
class _Part:
    """Samples of one shard: those that can be asked about, and what was said of them where the model is not asked."""

    samples: Sequence[Sample]
    opener: Opener
    asked: list[Asked]
    answers: list[_Answer]


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

    def readings(
        self, parts: Iterable[tuple[Sequence[Sample], Texts | None]], step: Callable[[int], None] = lambda n: None
    ) -> Generator[Reading]:
        """What is read of each of `parts`, in order; images of the next are opened while the model works on one.

        Args:
            parts: samples, those of a shard each, with what was said of them, in place of `said`; images that cannot be
                read are counted and left out.
            step: called with the number of samples of the part that are done.

        Raises:
            NumericsError: a state is not finite.
        """
        opened: deque[_Part] = deque()
        size, loader = BatchSize(self.options.samples_per_batch), self._reads
        reads: Batches[_Found, Loaded[_Found], list[_Read] | None] = Batches(
            lambda loaded: loaded.each(self._states), size, lambda f: f.shape, lambda f: f.asked.pixels, loader.ahead
        )

        def to_read(part: _Part, found: Sequence[_Found], step: Callable[[int], None]) -> Group[Any, Any]:
            return Group(found, lambda batch: loader.load(batch, part.opener, lambda f: f.asked), step)

        if not self._speaks:
            for of_each in reads.through(
                to_read(part, [a.found for a in part.answers if a.found], step) for part in self._opened(parts, opened)
            ):
                part = opened.popleft()
                step(len(part.samples))
                yield self._reading(part, part.answers, of_each)
            return
        asks = self._asks
        says: Batches[Asked, Loaded[Asked], _Answer | None] = Batches(
            lambda loaded: loaded.each(self._spoken), size, lambda a: a.shape, lambda a: a.pixels, asks.ahead
        )
        for said in says.through(
            Group(part.asked, partial(asks.load, opener=part.opener, asked=lambda a: a), step)
            for part in self._opened(parts, opened)
        ):
            part, answers = opened.popleft(), [answer for answer in said if answer is not None]
            again = [a.found for a in answers if a.found and a.read is None]
            [of_each] = reads.through([to_read(part, again, lambda n: None)])
            step(len(part.samples))
            yield self._reading(part, answers, of_each)

    def trial(self, samples: Sequence[Sample]) -> Callable[[int], Callable[[], list[Any]]]:
        """How many items → what runs a batch of so many of `samples`, which is loaded already: it gives the answers
        where the model speaks, else the rows of each answer. To measure what a batch costs."""
        [part] = self._opened([(samples, self.said)], deque())

        def load(n: int) -> Callable[[], list[Any]]:
            if self._speaks:
                asked = self._asks.load(part.asked[:n], part.opener, lambda a: a)
                return lambda: asked.each(self._spoken)
            found = [a.found for a in part.answers if a.found]
            ready = self._reads.load(found[:n], part.opener, lambda f: f.asked)
            return lambda: ready.each(self._states)

        return load

    def read(self, samples: Sequence[Sample], step: Callable[[int], None] = lambda n: None) -> Reading:
        """`readings` of one part alone."""
        [reading] = self.readings([(samples, self.said)], step)
        return reading

    def _opened(self, parts: Iterable[tuple[Sequence[Sample], Texts | None]], opened: deque[_Part]) -> Iterator[_Part]:
        """What is known of each of `parts` before the model is asked; added to `opened`, too."""
        for samples, said in parts:
            own = replace(self, said=said)
            # an image is opened once, unless the model is asked first and read afterwards
            opener = Opener(own._unsaid(samples), room=PIXELS if self._speaks and not self.live else 0)
            asked = asked_of(self.lmm, [s for s in samples if s.id not in opener.skipped], opener)
            opened.append(part := _Part(samples, opener, asked, own._answers(asked, opener)))
            yield part

    def _reading(self, part: _Part, answers: Sequence[_Answer], others: Sequence[list[_Read] | None]) -> Reading:
        """All that was read of a part; `others` are those answers that were read in a pass of their own, in order."""
        having, more = [(a.found, a.read) for a in answers if a.found is not None], iter(others)
        of_each = [next(more) if read is None else read for _, read in having]
        order = {word.text: i for i, word in enumerate(self.words)}
        read = sorted((one for of_one in of_each for one in of_one or ()), key=lambda one: order[one[0].word])
        rows = tuple(row for row, _ in read)
        states = {layer: self._stacked([of_layer[layer] for _, of_layer in read]) for layer in self.options.layers}
        for layer, tensor in states.items():
            _check_finite(tensor, layer, rows)
        samples, skipped = part.samples, part.opener.skipped
        unreadable = tuple((s.id, skipped[s.id]) for s in samples if s.id in skipped)
        found = {f.asked.sample.id for (f, _), of_one in zip(having, of_each, strict=True) if of_one is not None}
        without_word = len(samples) - len(found) - len(unreadable)
        without_state = len(found) - len({row.sample_id for row in rows})
        counts = Counts(len(samples), len(rows), without_word, unreadable, without_state)
        return Reading(states, rows, counts, tuple(answer.text for answer in answers))

    def certificate(self, samples: Sequence[Sample]) -> dict[str, Any] | None:
        """The doctor's certificate of the model, from the first two of `samples` that can be opened; None without one.

        Raises:
            ModelError: the states that would be read are not those that the model computes.
        """
        opened: list[tuple[Image.Image, str]] = []
        for sample in samples:
            with suppress(DataError):  # it is listed when it is read
                image, request = sample.open(), self.lmm.request(sample)
                self.lmm.prepare([image], [request])
                opened.append((image, request))
            if len(opened) == 2:
                break

        def examine(batch: Sequence[tuple[Image.Image, str]]) -> list[Diagnosis]:
            return [quick(self.lmm, [image for image, _ in batch], [request for _, request in batch])]

        found = halving(examine, opened) if opened else []
        return found[0].certificate() if found else None

    def check(self, samples: Sequence[Sample]) -> int:
        """Checks that the states can be read in this model, and gives about how many bytes those of a sample take.

        Args:
            samples: of which the first that can be opened is looked at.

        Raises:
            UsageError: there is no such layer, or no such position.
            ModelError: the model does not have the positions, or its patches have no coordinates.
        """
        options, size = self.options, torch.finfo(getattr(torch, self.lmm.dtype)).bits // 8
        if options.read_at not in ("word", "patches"):
            self.lmm.check_read_at(options.read_at)
        n_values = len(options.decoder) * self.lmm.n_features
        for sample in samples if options.sight else ():
            with suppress(DataError):  # it is listed when it is read
                inputs = self.lmm.prepare([sample.open()], [self.lmm.request(sample)])
                if options.one_a_patch:
                    self.lmm.prove_places(inputs, options.sight)
                seen = self.lmm.seen(inputs, options.sight).values()
                n_values += sum(s.patches.numel() if options.one_a_patch else s.mean.numel() for s in seen)
                break
        return size * n_values

    @property
    def _asks(self) -> BatchLoader:
        """Loads what the model is asked about."""
        return BatchLoader(self.lmm, pictures=self.live)

    @property
    def _reads(self) -> BatchLoader:
        """Loads what is read."""
        return BatchLoader(self.lmm, pictures=True, images=bool(self.options.sight))

    @property
    def _speaks(self) -> bool:
        """Whether the model is asked now."""
        return self.said is None and self.options.require != "truth"

    def _unsaid(self, samples: Sequence[Sample]) -> dict[str, str]:
        """Those of `samples` of which nothing was said before, each with the reason."""
        return {} if self.said is None else {s.id: self.said.unsaid[s.id] for s in samples if s.id in self.said.unsaid}

    def _answers(self, asked: Sequence[Asked], opener: Opener) -> list[_Answer]:
        """What is said of each image where the model is not asked: what was said before, or the references that take
        its place: the first that has the word."""
        if self._speaks:
            return []
        if self.said is not None:
            before = self.said.generation
            given = [(a, opener.tried(a.sample, lambda sample: before(self.lmm, sample))) for a in asked]
            texts = [(a, answer, self.words) for a, answer in given if answer is not None]
        else:
            texts = [one for a in asked for one in opener.tried(a.sample, lambda s, a=a: self._taught(a)) or ()]  # type: ignore[misc]
        return [_Answer(answer.text, self._find(a, answer, wanted)) for a, answer, wanted in texts]

    def _taught(self, asked: Asked) -> list[tuple[Asked, Generation, tuple[Word, ...]]]:
        """The references of a sample in place of an answer, each with the words that are looked for in it."""
        found = self._references(asked.sample)
        for text in found:
            self.lmm.check_text(text, f"sample {asked.sample.id!r}: its reference")
        return [(asked, self.lmm.continuation(asked.request, text), wanted) for text, wanted in found.items()]

    def _references(self, sample: Sample) -> dict[str, tuple[Word, ...]]:
        """The references that are read, each with the words that it is the first to have."""
        found: dict[str, tuple[Word, ...]] = {}
        for word in self.words:
            text = next((text for text in sample.said if word.find(text)), None)
            if text is not None:
                found[text] = (*found.get(text, ()), word)
        return found

    def _spoken(self, ready: Ready[Asked]) -> list[_Answer]:
        """What the model says of each image, with the states of the words in it where they could be kept."""
        batch, inputs = ready.items, ready.inputs
        heard: list[Spoken | ModelError] = []
        until = {"until": self._all_said} if self.options.stop_at_word else {}
        with self.lmm.watched(self.options.layers, heard.append) if self.live else nullcontext():
            said = self.lmm.generate(inputs, self.options.max_new_tokens, **until)
        found = [self._find(a, answer, self.words) for a, answer in zip(batch, said, strict=True)]
        kept = self._kept(heard, self.lmm.together(inputs), found) if self.live else {}
        lengths = inputs["attention_mask"].sum(1).tolist()
        return [
            _Answer(answer.text, f, _rows(f, lengths[i], ready.pictures[i], kept[i]) if f and i in kept else None)
            for i, (answer, f) in enumerate(zip(said, found, strict=True))
        ]

    def _all_said(self, text: str) -> bool:
        """Whether a text that is still being said has each of the words, with something after it, so that it cannot
        become part of a longer word."""
        matches = [word.find(text) for word in self.words]
        return all(match and match.end < len(text) and text[match.end] != "\ufffd" for match in matches)

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
        return _Found(asked, answer, tuple(spots), self.options.read_at != "word")

    def _states(self, ready: Ready[_Found]) -> list[list[_Read]]:
        """For each answer its rows with their states: one a word, or one a patch, or none without the positions."""
        if self.options.decoder:
            read = self._of_text(ready)
        else:
            read = [
                [(_row(f, spot, (None, 0), picture), {}) for spot in f.spots]
                for f, picture in zip(ready.items, ready.pictures, strict=True)
            ]
        if self.options.sight:
            read = [self._with_sight(*one) for one in zip(ready.items, ready.images, read, strict=True)]
        return read

    def _of_text(self, ready: Ready[_Found]) -> list[list[_Read]]:
        """The states of the decoder's layers, each the mean over its positions, in one teacher-forced pass."""
        batch, inputs, layers = ready.items, ready.inputs, self.options.decoder
        spots = [(i, spot) for i, f in enumerate(batch) for spot in f.spots]
        of_spots = self._positions(batch, inputs)
        positions = [place for places in of_spots for place in places]
        samples = [i for (i, _), places in zip(spots, of_spots, strict=True) for _ in places]
        needed = [f.needed for f in batch]
        states = self.lmm.states(inputs, needed, positions, layers, samples) if positions else {}
        experts = self.lmm.experts(inputs, needed, positions, samples) if positions and self.options.experts else []
        padded = (inputs["attention_mask"] == 0).sum(1).tolist()
        found: list[list[_Read]] = [[] for _ in batch]
        start = 0
        for (i, spot), places in zip(spots, of_spots, strict=True):
            part = slice(start, start := start + len(places))
            if places:
                row = _row(batch[i], spot, (places[0] - padded[i], len(places)), ready.pictures[i])
                row = replace(row, experts=experts[part.start]) if experts else row
                found[i].append((row, {layer: _mean(states[layer][part]) for layer in layers}))
        return found

    def _positions(self, batch: Sequence[_Found], inputs: Batch) -> list[list[int]]:
        """The positions to read for each word of each answer, in prompts and answers."""
        if self.options.read_at == "word":
            width = inputs["input_ids"].shape[1]
            return [[width + spot.offset] for f in batch for spot in f.spots]
        requests, answers = [f.asked.request for f in batch], [f.needed for f in batch]
        where = self.lmm.whole(inputs, answers, requests, self.options.read_at)
        places = [marked.nonzero().flatten().tolist() for marked in where]
        return [places[i] for i, f in enumerate(batch) for _ in f.spots]

    def _with_sight(self, found: _Found, image: Image.Image, read: Sequence[_Read]) -> list[_Read]:
        """The rows of an answer with the states of the layers that the image goes through: their means, or one a
        patch."""
        seen = self.lmm.seen(self.lmm.prepare([image], [found.asked.request]), self.options.sight)
        if not self.options.one_a_patch:
            means = {layer: one.mean for layer, one in seen.items()}
            return [(row, {**states, **means}) for row, states in read]
        grids = {(len(one.states), one.grid) for one in seen.values()}
        if len(grids) > 1:
            raise UsageError(
                f"The layers {', '.join(map(str, seen))} have patches of different grids; extract them one by one."
            )
        ((views, grid),) = grids
        rows, columns = grid or (0, 0)
        places = [(view, k) for view in range(views) for k in range(rows * columns)]
        return [
            (
                replace(
                    row,
                    patch=Patch(view, *divmod(k, columns), rows, columns),
                    thumbnail=b"" if view or k else row.thumbnail,
                ),
                {layer: one.patches[view, k] for layer, one in seen.items()},
            )
            for row, _ in read
            for view, k in places
        ]

    def _stacked(self, states: list[Tensor]) -> Tensor:
        """(n, n_features), also where there are none."""
        return (
            torch.stack(states) if states else torch.empty(0, self.lmm.n_features, dtype=getattr(torch, self.lmm.dtype))
        )


def _rows(found: _Found, length: int, picture: bytes, states: Sequence[dict[Layer, Tensor]]) -> list[_Read]:
    """The row of each word in an answer, with its states; `length` is that of the prompt."""
    return [
        (_row(found, spot, (length + spot.offset, 1), picture), of_layer)
        for spot, of_layer in zip(found.spots, states, strict=True)
    ]


def _mean(states: Tensor) -> Tensor:
    """The mean of states (n, n_features), in their dtype."""
    return states.float().mean(0).to(states.dtype)


def _row(found: _Found, spot: _Spot, where: tuple[int | None, int], picture: bytes) -> Row:
    """The row of a word; `where` is the first of the positions that are read, and how many there are."""
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
        position=where[0],
        n_positions=where[1],
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
