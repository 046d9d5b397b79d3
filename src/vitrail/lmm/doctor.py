"""The doctor: proves with numbers, on this machine, that what Vitrail reads from a model is what the model computes.

Each check compares two ways to the same number: our states and the library's, a batch and its rows alone, a text read
in one pass and the same text as it was generated. The whole certificate takes a few short captions; extraction runs the
quick part of it on its first batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageChops
from torch import Tensor

from vitrail import words
from vitrail.artifacts import versions
from vitrail.errors import ModelError, NumericsError, VitrailError
from vitrail.lmm import LMM, Batch, Generation, as_lmm, hooks
from vitrail.lmm.diagnosis import Check, Diagnosis
from vitrail.lmm.messages import first_line
from vitrail.lmm.running import ApartError
from vitrail.lmm.watching import Spoken
from vitrail.samples import Film, Sample, frames_of, n_frames, replaced, strip
from vitrail.words import Word

log = logging.getLogger(__name__)

#: The largest relative error that rounding explains, by the dtype of the weights.
TOLERANCE = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
#: What the doctor asks besides the model's own request. It is longer, so that a batch of both is padded.
REQUEST = "What is in the picture, and where in the picture is it?"
#: How many frames a video has that the doctor makes.
_FRAMES = 4
#: How many tokens the doctor has the model generate.
SPOKEN = 6
#: The check that says how states are extracted: while the model speaks, or from another pass over what it said.
REPLAYED = "extraction reads its answers again"
LIVE = "states while it speaks are as read"
#: Plain, capitalised, first in a sentence, with a hyphen, in pieces, inside another word (which must not be found).
SENTENCES = (
    ("plain", "a photo of a dog on grass", "dog", True),
    ("capitalised", "a photo of a Dog on grass", "dog", True),
    ("first in a sentence", "Dog on grass", "dog", True),
    ("before a comma", "a dog, a cat", "dog", True),
    ("in pieces", "a photo of a xylophonist", "xylophonist", True),
    ("inside another word", "a photo of a hotdog", "dog", False),
)


def doctor(lmm: LMM | str | Path, images: Sequence[Image.Image] | None = None) -> Diagnosis:
    """The certificate of `lmm`: every check.

    A check that cannot run because the model raises an error fails with that error; it is not raised here.

    Args:
        lmm: the model, or its name or folder, as `load` takes it.
        images: two or three images; noise by default, and videos of noise where the model is given them as a whole.

    Raises:
        ModelError: the LMM gives no access to its states.
    """
    lmm = as_lmm(lmm)
    images = _noise_for(lmm) if images is None else list(images)[:3]
    examiner = Examiner(lmm, images, [lmm.prompt, *[REQUEST] * (len(images) - 2), lmm.prompt])
    return examiner.diagnosis(examiner.every())


def quick(lmm: LMM, images: Sequence[Image.Image], requests: Sequence[str]) -> Diagnosis:
    """The cheap part of the certificate: states, logits, padding and what is said, of two rows.

    Args:
        images: of which the first two are used.
        requests: one for each image.

    Raises:
        ModelError: a check failed; states of this model would be wrong.
        NumericsError: states are not finite.
    """
    examiner = Examiner(lmm, list(images)[:2], list(requests)[:2])
    found = examiner.diagnosis(examiner.few())
    if any(c.error == float("inf") for c in found.failed):
        raise NumericsError(
            f"States of {lmm.name} are not finite. Load the model in a wider dtype: --dtype bfloat16 or float32."
        )
    if not found.passed:
        what = "; ".join(f"{c.name}: {c.says}" for c in found.failed)
        raise ModelError(f"What would be read from {lmm.name} is not what it computes ({what}). See `vitrail doctor`.")
    return found


def certificate(lmm: LMM, samples: Sequence[Sample]) -> dict[str, Any]:
    """The certificate of `lmm` that an artifact keeps, from the first two of `samples`; see `quick`.

    Raises:
        DataError: an image cannot be read.
        ModelError: a check failed.
        NumericsError: states are not finite.
    """
    some = samples[:2]
    return quick(lmm, [s.open() for s in some], [lmm.request(s) for s in some]).certificate()


def noise(n: int, side: int = 112) -> list[Image.Image]:
    """`n` images of coloured noise, always the same ones."""
    pixels = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    return [Image.fromarray(p) for p in pixels]


def _noise_for(lmm: LMM) -> list[Image.Image]:
    """Three images, or three videos for a model that is given them as a whole."""
    if lmm.backend.videos != "whole":
        return noise(3)
    frames, film = noise(3 * _FRAMES), Film(tuple(range(_FRAMES)), _FRAMES, rate=2.0)
    return [strip(frames[k : k + _FRAMES], film) for k in range(0, len(frames), _FRAMES)]


def relative(found: Tensor, expected: Tensor) -> float:
    """The largest difference between two tensors, relative to the largest expected value; infinite if not finite."""
    found, expected = found.double().cpu(), expected.double().cpu()
    scale = expected.abs().max().clamp_min(1e-9)
    error = ((found - expected).abs().max() / scale).item() if found.numel() else 0.0
    return error if np.isfinite(error) else float("inf")


#: What models and processors raise where a check cannot run.
RAISED = (VitrailError, RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError)


class Finding(NamedTuple):
    """A `Check` without its name."""

    passed: bool | None
    error: float | None
    says: str


class Examiner:
    """Runs the checks of one model on some images with a request each."""

    def __init__(self, lmm: LMM, images: Sequence[Image.Image], requests: Sequence[str]) -> None:
        self.lmm, self.images, self.requests = lmm, images, requests
        self.tolerance = TOLERANCE.get(lmm.dtype, 1e-1) * (10 if lmm.describe().quantization else 1)
        self.layers = [*range(lmm.n_blocks + 1), "final"]

    def diagnosis(self, checks: Iterator[Check]) -> Diagnosis:
        """The certificate that consists of `checks`, which run now."""
        return Diagnosis(self.lmm.describe(), self.lmm.modules, tuple(checks), versions())

    def every(self) -> Iterator[Check]:
        """All checks, one after the other."""
        yield self._tried("image", self.image)
        yield self._tried("several images", self.several)
        yield from self.few()
        yield self._tried("a batch is its rows alone", self.batch)
        yield self._tried("hooks are called", self.calls)
        yield self._tried("a zero vector changes nothing", self.zero)
        yield self._tried("a vector changes what it should", self.vector)
        for kind, sentence, word, there in SENTENCES:
            yield self._tried(f"word: {kind}", partial(self.word, sentence, word, there))

    def few(self) -> Iterator[Check]:
        """The checks of `quick`."""
        yield self._tried("states are the library's", self.states)
        yield self._tried("logits are the model's", self.logits)
        yield self._tried("left padding changes nothing", self.padding)
        yield self._tried("what is said is the most likely", self.said)
        yield self._tried("read at once is as spoken", self.replay)
        yield self._tried(LIVE, self.live)
        if strips := [(i, request) for i, request in zip(self.images, self.requests, strict=True) if n_frames(i) > 1]:
            yield self._tried("each of several images reaches the words", partial(self.each, *strips[0]))

    def _tried(self, name: str, check: Callable[[], Finding]) -> Check:
        try:
            with torch.inference_mode():
                return Check(name, *check())
        except RAISED as error:
            if isinstance(error, torch.OutOfMemoryError | ApartError):
                raise
            log.debug("%s", name, exc_info=True)
            return Check(name, False, None, f"{type(error).__name__}: {first_line(error)}")

    def _within(self, error: float, says: str) -> Finding:
        return Finding(error <= self.tolerance, error, says)

    # ---- what is compared --------------------------------------------------------------------------------------------

    def _prepare(self, rows: Sequence[int], requests: Sequence[str] | None = None) -> Batch:
        requests = self.asked if requests is None else requests
        return self.lmm.prepare([self.images[i] for i in rows], [requests[i] for i in rows])

    def _last(self, inputs: Batch) -> dict[Any, Tensor]:
        """Layer → (batch, features): the states at the last position of the prompts."""
        n, width = inputs["input_ids"].shape
        return self.lmm.states(inputs, [()] * n, [width - 1] * n, self.layers)

    def image(self) -> Finding:
        """The image reaches the words: another one gives other states; and says where it stands."""
        one, other = (self._prepare([i], [self.lmm.prompt] * len(self.images)) for i in (0, 1))
        change = relative(self._last(one)[self.lmm.n_blocks], self._last(other)[self.lmm.n_blocks])
        where = _where(self._embedded(one), self._embedded(other), one["input_ids"].shape[1])
        says = f"another image changes the last state by {change:.1e} of its size"
        return Finding(change > 1e-6, None, f"it stands {where}; {says}" if where else says)

    def several(self) -> Finding:
        """Each of two images reaches the words. A model that takes one is none the worse for it."""
        if not self.lmm.backend.takes_several:
            return Finding(None, None, "it is asked about one image at a time")
        try:
            found = self.each(strip([frames_of(image)[0] for image in self.images[:2]]), self.lmm.prompt)
        except RAISED as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            return Finding(None, None, f"it takes one image: {type(error).__name__}: {first_line(error)}")
        return found if found.passed else Finding(None, None, f"it takes one image: {found.says}")

    def each(self, image: Image.Image, request: str) -> Finding:
        """Each image of a strip, a video's too, reaches the words: another one in its place gives another state."""
        frames, n = frames_of(image), self.lmm.n_blocks
        before = self._last(self.lmm.prepare([image], [request]))[n]
        changes = []
        for k, frame in enumerate(frames):
            other = ImageChops.invert(frame)
            after = self.lmm.prepare([replaced(image, [*frames[:k], other, *frames[k + 1 :]])], [request])
            changes.append(relative(before, self._last(after)[n]))
        least = min(changes)
        says = f"another one in place of image {changes.index(least) + 1} of {len(frames)} changes the last state by"
        return Finding(least > 1e-6, None, f"{says} {least:.1e} of its size, the least of all")

    def _embedded(self, inputs: Batch) -> Tensor:
        """(positions, features) float32: what goes into the first block."""
        with hooks.capture({"0": self.lmm.parts.blocks[0]}, lambda s: s, inputs=frozenset({"0"})) as found:
            self.lmm.run(inputs)
        return found["0"][0].float()

    def states(self) -> Finding:
        """The last position's states of every layer are the library's `hidden_states`."""
        rows = range(len(self.images))
        inputs = self._prepare(rows)
        out = self.lmm.run(inputs, output_hidden_states=True)
        library = hidden_states(out)
        if library is None:
            return Finding(None, None, "the model gives no hidden_states to compare with")
        n = self.lmm.n_blocks
        if len(library) != n + 1:
            return Finding(
                False, None, f"{n} blocks were found, but the library gives {len(library)} states, not {n + 1}"
            )
        ours = self._last(inputs)
        theirs = [h[:, -1] for h in library]
        errors = {k: relative(ours[k], theirs[k]) for k in range(n)}
        ends = {"final": relative(ours["final"], theirs[n]), n: relative(ours[n], theirs[n])}
        last = min(ends, key=lambda k: ends[k])
        worst = max([*errors.values(), ends[last]])
        return self._within(worst, f"layers 0 to {n}, the library's last being our layer {last}")

    def logits(self) -> Finding:
        """States decode to the model's own logits, before and after the final norm."""
        inputs = self._prepare(range(len(self.images)))
        states = self._last(inputs)
        expected = self.lmm.run(inputs).logits[:, -1].float().cpu()
        real = expected > torch.finfo(self._dtype).min  # some models forbid tokens (Chameleon's image tokens)
        errors = []
        for layer in (self.lmm.n_blocks, "final"):
            found = self.lmm.logits(states[layer], layer).cpu()[:, : expected.shape[1]]
            errors.append(relative(found[real], expected[real]))
        return self._within(max(errors), "W_U · norm(state of the last block), and W_U · final state")

    @property
    def _dtype(self) -> torch.dtype:
        return getattr(torch, self.lmm.dtype)

    def padding(self) -> Finding:
        """A padded row has the states of the same row without padding."""
        requests = self.uneven
        inputs = self._prepare(range(len(self.images)), requests)
        width, error, most = _width(inputs), 0.0, 0
        together = self._last(inputs)
        for i in range(len(self.images)):
            alone = self._prepare([i], requests)
            if padded := width - _width(alone):
                states = self._last(alone)
                error = max(error, *(relative(together[k][i], states[k][0]) for k in self.layers))
                most = max(most, padded)
        if not most:
            return Finding(None, None, "no row of the batch needed padding")
        return self._within(error, f"rows with up to {most} padded positions against the same rows alone")

    @cached_property
    def asked(self) -> Sequence[str]:
        """The requests; the first one for each image where requests of unequal length cannot go through together."""
        return self.requests if self._takes(self.requests) else [self.requests[0]] * len(self.requests)

    @cached_property
    def uneven(self) -> Sequence[str]:
        """The requests; with longer ones among them where all are of one length, so that a batch is padded."""
        longer = f"{REQUEST} {REQUEST}"  # by itself: a family's own request may take nothing beside it (Florence-2)
        for requests in (self.requests, [self.requests[0], *[longer] * (len(self.requests) - 1)]):
            alone = (self._prepare([i], requests) for i in range(len(self.images)))
            if len({_width(inputs) for inputs in alone}) > 1:  # a wrong mask would say nothing of padding
                return requests if self._takes(requests) else self.asked
        return self.asked

    def _takes(self, requests: Sequence[str]) -> bool:
        try:
            self.lmm.prepare(self.images, requests)
        except ModelError:
            return False
        return True

    def said(self) -> Finding:
        """Each token that is said is the most likely at the state that predicts it, and so is the end of an answer.

        Tokens that the model never says do not count, nor does a first token that it is made to say.
        """
        backend, inputs = self.lmm.backend, self._prepare(range(len(self.images)), self.uneven)
        if not getattr(backend, "greedy", True):
            return Finding(None, None, "it generates as its own generation configuration says")
        answers = backend.generate(inputs, SPOKEN)  # of the backend: nobody speaks in its place
        logits = self.lmm.run(self.lmm.extended(inputs, [g.ids for g in answers])).logits
        longest, forced = max(len(g.ids) for g in answers), self.lmm.forced_first
        likely = logits[:, logits.shape[1] - longest - 1 :].float().cpu()
        likely[..., [t for t in self.lmm.never_said if t < likely.shape[-1]]] = -torch.inf
        error, n = 0.0, 0
        for row, answer in zip(likely, answers, strict=True):
            ended = sorted(self.lmm.ends) if len(answer.ids) < SPOKEN else []
            said = [[token] for token in answer.ids] + ([ended] if ended else [])
            for place, tokens in list(enumerate(said))[int(forced) :]:
                scores = row[place]
                short = (scores.max() - scores[tokens].max()) / scores[scores > -torch.inf].abs().max().clamp_min(1e-9)
                error, n = max(error, short.item()), n + 1
        return self._within(error, f"{n} tokens, by how much another one is more likely, of the largest logit")

    def batch(self) -> Finding:
        """A batch has the states of its rows alone."""
        rows, same = range(len(self.images)), [self.lmm.prompt] * len(self.images)
        together = self._last(self._prepare(rows, same))
        error = 0.0
        for i in rows:
            alone = self._last(self._prepare([i], same))
            error = max(error, *(relative(together[k][i], alone[k][0]) for k in self.layers))
        return self._within(error, f"a batch of {len(rows)} against {len(rows)} batches of one, all layers")

    def replay(self) -> Finding:
        """States as the model had them while it spoke, with its cache, and as we read them from the whole text."""
        inputs = self._prepare(range(len(self.images)), self.uneven)
        said, spoken = self._spoken(inputs)
        groups = self.lmm.together(inputs)
        if len(groups) != len(spoken):
            return Finding(False, 0.0, f"{len(groups)} generations were expected, {len(spoken)} ran")
        width, n = inputs["input_ids"].shape[1], self.lmm.n_blocks
        error, compared = 0.0, 0
        for j in range(SPOKEN):
            positions = [width - 1 + min(j, len(g.ids)) for g in said]
            read = self.lmm.states(inputs, [g.ids for g in said], positions, [n])[n].float()
            for group, steps in zip(groups, spoken, strict=True):
                rows = [(k, i) for k, i in enumerate(group) if j < len(steps) and len(said[i].ids) >= j]
                error = max([error, *(relative(read[i], steps[j][k]) for k, i in rows)])
                compared += len(rows)
        says = f"{compared} states of {len(said)} captions, as spoken with a cache and as read"
        return self._within(error, says)

    def live(self) -> Finding:
        """States of all layers that are kept while the model speaks are those that one pass over its answers reads.

        Where they are not, or cannot be told apart, extraction reads them in another pass; that is no fault.
        """
        if not getattr(self.lmm.backend, "greedy", True):
            return Finding(None, None, f"{REPLAYED}: it generates as its own generation configuration says")
        inputs = self._prepare(range(len(self.images)), self.uneven)
        heard: list[Spoken | ModelError] = []
        with self.lmm.watched(self.layers, heard.append):
            said = self.lmm.backend.generate(inputs, SPOKEN)
        groups = self.lmm.together(inputs)
        spoken = [one for one in heard if isinstance(one, Spoken)]
        if len(spoken) != len(groups) or len(heard) != len(groups):
            return Finding(None, None, f"{REPLAYED}: its passes do not read one token each")
        width, error, n = inputs["input_ids"].shape[1], 0.0, 0
        for group, one in zip(groups, spoken, strict=True):
            places = [(k, i, j) for k, i in enumerate(group) for j in range(min(len(said[i].ids) + 1, SPOKEN))]
            places = [(k, i, j) for k, i, j in places if j < one.ids.shape[1]]
            ids = [answer.ids for answer in said]
            rows, steps = [i for _, i, _ in places], [j for _, _, j in places]
            read = self.lmm.states(inputs, ids, [width - 1 + j for j in steps], self.layers, rows)
            for layer in self.layers:
                kept = one.at(self.lmm.layer(layer), [k for k, _, _ in places], steps)
                error = max(error, relative(kept, read[layer]))
            n += len(places)
        if error > self.tolerance:
            return Finding(None, error, f"{REPLAYED}: {n} states of each layer differ by more than rounding explains")
        return Finding(True, error, f"extraction keeps them: {n} states of each of {len(self.layers)} layers")

    def _spoken(self, inputs: Batch) -> tuple[list[Generation], list[list[Tensor]]]:
        """What the model says, and for each generation that ran the last block's states (rows, features), step by
        step."""
        spoken: list[list[Tensor]] = []
        widths = [0]

        def record(_name: str, states: Tensor) -> Tensor:
            width = states.shape[1]
            goes_on = width in (1, widths[-1] + 1)  # with a cache, or without
            if not spoken or not goes_on:
                spoken.append([])
            widths.append(width)
            spoken[-1].append(states[:, -1].detach().float().cpu())
            return states

        with hooks.edit({"last": self.lmm.parts.blocks[-1]}, record):
            return self.lmm.backend.generate(inputs, SPOKEN), spoken

    def calls(self) -> Finding:
        """Every block and the norm run once for every token that is said."""
        modules = {f"block {k}": block for k, block in enumerate(self.lmm.parts.blocks, 1)}
        modules["unembedding"] = self.lmm.parts.unembedding
        if self.lmm.parts.names["norm"] != "none":
            modules["norm"] = self.lmm.parts.norm
        inputs = self._prepare(range(len(self.images)), [self.lmm.prompt] * len(self.images))
        with hooks.edit(modules, lambda _name, states: states) as edits:
            said = self.lmm.generate(inputs, SPOKEN)
        counts = set(edits.calls.values())
        longest = max(len(g.ids) for g in said)
        # one more than the longest, if it was ended by its end token
        passed = len(counts) == 1 and counts <= {longest, longest + 1} and max(counts) <= SPOKEN
        return Finding(passed, None, f"{len(modules)} modules ran {sorted(counts)} times for {longest} tokens")

    def _pushed(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, positions, features) of the middle layer without and with `vector` added at the last position."""
        layer = self.lmm.n_blocks // 2 + 1
        inputs = self._prepare(range(len(self.images)))
        module = {"block": self.lmm.parts.blocks[layer - 1]}

        def add(_layer: Any, states: Tensor, now: Any) -> Tensor:
            return states + now.mask("last")[..., None] * vector.to(states.device, states.dtype)

        with hooks.capture(module, lambda s: s) as before:
            self.lmm.run(inputs)
        with self.lmm.edited([layer], add), hooks.capture(module, lambda s: s) as after:
            self.lmm.run(inputs)
        return before["block"].float().cpu(), after["block"].float().cpu()

    def zero(self) -> Finding:
        """Adding zero changes neither states nor captions."""
        before, after = self._pushed(torch.zeros(self.lmm.n_features))
        error = relative(after, before)
        inputs = self._prepare(range(len(self.images)))
        plain = self.lmm.generate(inputs, SPOKEN)
        with self.lmm.edited([self.lmm.n_blocks], lambda _l, s, _n: s + torch.zeros_like(s)):
            same = self.lmm.generate(inputs, SPOKEN) == plain
        return Finding(error == 0 and same, error, "states and captions are the same")

    def vector(self) -> Finding:
        """A vector that is added at the last position moves that position by the vector, and no other."""
        generator = torch.Generator().manual_seed(0)
        direction = torch.randn(self.lmm.n_features, generator=generator)
        before, _ = self._pushed(torch.zeros_like(direction))
        direction *= before[:, -1].norm(dim=-1).mean() / direction.norm()
        before, after = self._pushed(direction)
        moved = (after - before).norm(dim=-1) > 0
        where = torch.zeros_like(moved)
        where[:, -1] = True
        error = relative((after - before)[:, -1], direction.expand(len(before), -1))
        passed = error <= self.tolerance and torch.equal(moved, where)
        return Finding(passed, error, "the last position moved by just the vector, the others not at all")

    def word(self, sentence: str, text: str, there: bool) -> Finding:
        """The word `text` is found in `sentence`, or not, and in the right tokens of this model's tokenizer."""
        tokenizer = self.lmm.tokenizer
        ids = tokenizer.encode(sentence, add_special_tokens=False)
        said = words.decode(tokenizer, ids)
        if said.strip().lower() != sentence.lower():
            return Finding(None, None, f"this tokenizer cannot say {sentence!r}; it says {said.strip()!r}")
        match = Word(text).find(said)
        if match is None or not there:
            return Finding(
                (match is None) != there, None, f"{text!r} is {'not ' * (match is None)}found in {said.strip()!r}"
            )
        offsets = words.token_offsets(tokenizer, ids)
        first, last = words.token_span(offsets, match)
        pieces = said[offsets[first][0] : offsets[last][1]]
        return Finding(
            text in pieces.lower(), None, f"{text!r} is in tokens {first} to {last} of {len(ids)}: {pieces!r}"
        )


def _width(inputs: Batch) -> int:
    """How many positions the requests of a batch have."""
    return inputs["encoder_input_ids" if "encoder_input_ids" in inputs else "input_ids"].shape[1]


def keeps_states(certificate: Mapping[str, Any] | None) -> bool:
    """Whether states may be kept while the model speaks, by its certificate: the check `LIVE` passed."""
    checks = [] if certificate is None else certificate["checks"]
    return any(check["name"] == LIVE and check["passed"] for check in checks)


def _where(one: Tensor, other: Tensor, width: int) -> str | None:
    """Where the image stands, from the embeddings of two images (positions, features); None if it cannot be told.

    Args:
        one: with the one image.
        other: with the other image.
        width: how many positions the text has, counted from the end.
    """
    if one.shape != other.shape:
        return None
    at = (one - other).abs().amax(1).nonzero().flatten() - (len(one) - width)
    if not len(at) or len(at) == width:
        return "at no position of the decoder, which looks at it across"
    if (at < 0).any():
        return f"at {len(at)} positions before the text"
    return f"at {len(at)} positions of the text, {at[0]} to {at[-1]}"


def hidden_states(out: Any) -> Sequence[Tensor] | None:
    """The decoder's states in what a model of transformers puts out, wherever they lie in it."""
    for holder in (out, getattr(out, "language_model_outputs", None)):
        for name in ("decoder_hidden_states", "hidden_states"):
            found = getattr(holder, name, None)
            if found is not None and found[-1].shape[1] == out.logits.shape[1]:  # else of the image (BLIP)
                return found
    return None
