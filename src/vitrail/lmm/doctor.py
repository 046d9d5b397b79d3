"""The doctor: proves with numbers, on this machine, that what Vitrail reads of a model is what the model computes.

Each check compares two ways to the same number: our states and the library's, a batch and its rows alone, a text read
at once and the same text as it was spoken. The whole certificate takes a few short captions; extraction runs the quick
part of it on its first batch.
"""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vitrail import words
from vitrail.artifacts import versions
from vitrail.errors import ModelError, NumericsError, VitrailError
from vitrail.lmm import LMM, ModelDescription, hooks
from vitrail.lmm.messages import first_line
from vitrail.samples import Sample
from vitrail.words import Word

log = logging.getLogger(__name__)

#: Largest relative error that rounding explains, by the dtype of the weights; a check of a narrower one is coarser.
TOLERANCE = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}
#: What the doctor asks beside the model's own request: longer, so that a batch of both is padded.
REQUEST = "What is in the picture, and where in the picture is it?"
SPOKEN = 6
#: Plain, capitalised, first in a sentence, with a hyphen, in pieces, inside another word (which must not be found).
SENTENCES = (
    ("plain", "a photo of a dog on grass", "dog", True),
    ("capitalised", "a photo of a Dog on grass", "dog", True),
    ("first in a sentence", "Dog on grass", "dog", True),
    ("before a comma", "a dog, a cat", "dog", True),
    ("in pieces", "a photo of a xylophonist", "xylophonist", True),
    ("inside another word", "a photo of a hotdog", "dog", False),
)


@dataclass(frozen=True)
class Check:
    """What was proven. `error` is the largest relative error found, `passed` is None where there was nothing to
    compare; `says` tells it in a sentence."""

    name: str
    passed: bool | None
    error: float | None
    says: str

    @property
    def mark(self) -> str:
        return {True: "✓", False: "✗", None: "–"}[self.passed]


@dataclass(frozen=True)
class Diagnosis:
    """The certificate of a model: which modules were taken for what, and what was proven with them."""

    model: ModelDescription
    modules: dict[str, str]
    checks: tuple[Check, ...]
    versions: dict[str, str]

    @property
    def passed(self) -> bool:
        return all(check.passed is not False for check in self.checks)

    @property
    def failed(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.passed is False)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"passed": self.passed, "model": self.model.as_dict(), **self._findings(), "versions": self.versions}

    def certificate(self) -> dict[str, Any]:
        """What an artifact keeps of it; the model's description and the versions lie beside it."""
        return {"passed": self.passed, **self._findings()}

    def _findings(self) -> dict[str, Any]:
        return {"modules": self.modules, "checks": [asdict(check) for check in self.checks]}

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{c.mark}</td><td>{html.escape(c.name)}</td>"
            f"<td>{'' if c.error is None else f'{c.error:.1e}'}</td><td>{html.escape(c.says)}</td></tr>"
            for c in self.checks
        )
        return f"<b>Doctor</b> of {html.escape(self.model.name)}<table>{rows}</table>"


def doctor(lmm: LMM, images: Sequence[Image.Image] | None = None) -> Diagnosis:
    """The certificate of `lmm`: every check, on `images` (at least two; noise by default).

    A check that cannot be run because the model raises an error fails with that error; nothing is raised here.
    """
    images = noise(3) if images is None else list(images)[:3]
    examiner = Examiner(lmm, images, [lmm.prompt, *[REQUEST] * (len(images) - 2), lmm.prompt])
    return examiner.diagnosis(examiner.every())


def quick(lmm: LMM, images: Sequence[Image.Image], requests: Sequence[str]) -> Diagnosis:
    """The part of the certificate that one batch of an extraction can pay for: states, logits and padding of two rows.

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
        raise ModelError(f"What would be read of {lmm.name} is not what it computes ({what}). See `vitrail doctor`.")
    return found


def certificate(lmm: LMM, samples: Sequence[Sample]) -> dict[str, Any]:
    """The certificate that an artifact keeps of `lmm`, from the first two of `samples`; see `quick`."""
    some = samples[:2]
    return quick(lmm, [s.open() for s in some], [lmm.request(s) for s in some]).certificate()


def noise(n: int, side: int = 112) -> list[Image.Image]:
    """`n` images of coloured noise, always the same ones."""
    pixels = np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    return [Image.fromarray(p) for p in pixels]


def relative(found: Tensor, expected: Tensor) -> float:
    """The largest difference between two tensors, relative to the largest value expected; infinite if not finite."""
    found, expected = found.double().cpu(), expected.double().cpu()
    scale = expected.abs().max().clamp_min(1e-9)
    error = ((found - expected).abs().max() / scale).item() if found.numel() else 0.0
    return error if np.isfinite(error) else float("inf")


class Examiner:
    """Runs the checks of one model on some images with a request each."""

    def __init__(self, lmm: LMM, images: Sequence[Image.Image], requests: Sequence[str]) -> None:
        self.lmm, self.images, self.requests = lmm, images, requests
        self.tolerance = TOLERANCE.get(lmm.dtype, 1e-1) * (10 if lmm.describe().quantization else 1)
        self.layers = [*range(lmm.n_blocks + 1), "final"]

    def diagnosis(self, checks: Iterator[Check]) -> Diagnosis:
        return Diagnosis(self.lmm.describe(), self.lmm.modules, tuple(checks), versions())

    def every(self) -> Iterator[Check]:
        yield self._tried("image", self.image)
        yield from self.few()
        yield self._tried("a batch is its rows alone", self.batch)
        yield self._tried("read at once is as spoken", self.replay)
        yield self._tried("hooks are called", self.calls)
        yield self._tried("a zero vector changes nothing", self.zero)
        yield self._tried("a vector changes what it should", self.vector)
        for kind, sentence, word, there in SENTENCES:
            yield self._tried(f"word: {kind}", partial(self.word, sentence, word, there))

    def few(self) -> Iterator[Check]:
        yield self._tried("states are the library's", self.states)
        yield self._tried("logits are the model's", self.logits)
        yield self._tried("left padding changes nothing", self.padding)

    def _tried(self, name: str, check: Callable[[], tuple[bool | None, float | None, str]]) -> Check:
        try:
            with torch.inference_mode():
                return Check(name, *check())
        except (VitrailError, RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            log.debug("%s", name, exc_info=True)
            return Check(name, False, None, f"{type(error).__name__}: {first_line(error)}")

    def _within(self, error: float, says: str) -> tuple[bool, float, str]:
        return error <= self.tolerance, error, says

    # ---- what is compared --------------------------------------------------------------------------------------------

    def _prepare(self, rows: Sequence[int], requests: Sequence[str] | None = None) -> dict[str, Tensor]:
        requests = self.requests if requests is None else requests
        return self.lmm.prepare([self.images[i] for i in rows], [requests[i] for i in rows])

    def _last(self, inputs: dict[str, Tensor]) -> dict[Any, Tensor]:
        """Layer → (batch, features): the states at the last position of the prompts."""
        n, width = inputs["input_ids"].shape
        return self.lmm.states(inputs, [()] * n, [width - 1] * n, self.layers)

    def image(self) -> tuple[bool, float | None, str]:
        """The image reaches the words: another one gives other states; and says where it stands."""
        one, other = (self._prepare([i], [self.lmm.prompt] * len(self.images)) for i in (0, 1))
        change = relative(self._last(one)[self.lmm.n_blocks], self._last(other)[self.lmm.n_blocks])
        embedded = []
        for inputs in (one, other):
            with hooks.capture({"0": self.lmm.parts.blocks[0]}, lambda s: s, inputs=frozenset({"0"})) as found:
                self.lmm.run(inputs)
            embedded.append(found["0"][0].float())
        width = one["input_ids"].shape[1]
        says = f"another image changes the last state by {change:.1e} of its size"
        if embedded[0].shape != embedded[1].shape:
            return change > 1e-6, None, says
        at = (embedded[0] - embedded[1]).abs().amax(1).nonzero().flatten() - (len(embedded[0]) - width)
        if not len(at) or len(at) == width:
            where = "at no position of the decoder, which looks at it across"
        elif (at < 0).any():
            where = f"at {len(at)} positions before the text"
        else:
            where = f"at {len(at)} positions of the text, {at[0]} to {at[-1]}"
        return change > 1e-6, None, f"it stands {where}; {says}"

    def states(self) -> tuple[bool | None, float | None, str]:
        rows = range(len(self.images))
        inputs = self._prepare(rows)
        out = self.lmm.run(inputs, output_hidden_states=True)
        library = hidden_states(out)
        if library is None:
            return None, None, "the model gives no hidden_states to compare with"
        n = self.lmm.n_blocks
        if len(library) != n + 1:
            return False, None, f"{n} blocks were found, but the library gives {len(library)} states, not {n + 1}"
        ours = self._last(inputs)
        theirs = [h[:, -1] for h in library]
        errors = {k: relative(ours[k], theirs[k]) for k in range(n)}
        ends = {"final": relative(ours["final"], theirs[n]), n: relative(ours[n], theirs[n])}
        last = min(ends, key=lambda k: ends[k])
        worst = max([*errors.values(), ends[last]])
        return self._within(worst, f"layers 0 to {n}, the library's last being our layer {last}")

    def logits(self) -> tuple[bool, float, str]:
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

    def padding(self) -> tuple[bool | None, float | None, str]:
        inputs = self._prepare(range(len(self.images)))
        key = "encoder_input_ids" if "encoder_input_ids" in inputs else "input_ids"
        together, width = self._last(inputs), inputs[key].shape[1]
        error, most = 0.0, 0
        for i in range(len(self.images)):
            alone = self._prepare([i])
            padded = width - alone[key].shape[1]
            if padded:
                states = self._last(alone)
                error = max(error, *(relative(together[k][i], states[k][0]) for k in self.layers))
                most = max(most, padded)
        if not most:
            return None, None, "no row of the batch needed padding"
        return self._within(error, f"rows with up to {most} padded positions against the same rows alone")

    def batch(self) -> tuple[bool, float, str]:
        rows, same = range(len(self.images)), [self.lmm.prompt] * len(self.images)
        together = self._last(self._prepare(rows, same))
        error = 0.0
        for i in rows:
            alone = self._last(self._prepare([i], same))
            error = max(error, *(relative(together[k][i], alone[k][0]) for k in self.layers))
        return self._within(error, f"a batch of {len(rows)} against {len(rows)} batches of one, all layers")

    def replay(self) -> tuple[bool, float, str]:
        """States as the model had them while it spoke, with its cache, and as we read them from the whole text."""
        inputs = self._prepare(range(len(self.images)))
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
            said = self.lmm.generate(inputs, SPOKEN)
        groups = self.lmm.together(inputs)
        if len(groups) != len(spoken):
            return False, 0.0, f"{len(groups)} generations were expected, {len(spoken)} ran"
        width, n = inputs["input_ids"].shape[1], self.lmm.n_blocks
        error, compared = 0.0, 0
        for j in range(SPOKEN):
            rows = [(g, k, i) for g, group in enumerate(groups) for k, i in enumerate(group) if len(said[i].ids) >= j]
            positions = [width - 1 + min(j, len(g.ids)) for g in said]
            read = self.lmm.states(inputs, [g.ids for g in said], positions, [n])[n].float()
            rows = [(g, k, i) for g, k, i in rows if j < len(spoken[g])]
            error = max([error, *(relative(read[i], spoken[g][j][k]) for g, k, i in rows)])
            compared += len(rows)
        return self._within(error, f"{compared} states of {len(said)} captions, as spoken with a cache and as read")

    def calls(self) -> tuple[bool, float | None, str]:
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
        return passed, None, f"{len(modules)} modules ran {sorted(counts)} times for {longest} tokens"

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

    def zero(self) -> tuple[bool, float, str]:
        before, after = self._pushed(torch.zeros(self.lmm.n_features))
        error = relative(after, before)
        inputs = self._prepare(range(len(self.images)))
        plain = self.lmm.generate(inputs, SPOKEN)
        with self.lmm.edited([self.lmm.n_blocks], lambda _l, s, _n: s + torch.zeros_like(s)):
            same = self.lmm.generate(inputs, SPOKEN) == plain
        return error == 0 and same, error, "states and captions are the same"

    def vector(self) -> tuple[bool, float, str]:
        generator = torch.Generator().manual_seed(0)
        direction = torch.randn(self.lmm.n_features, generator=generator)
        before, _ = self._pushed(torch.zeros_like(direction))
        direction *= before[:, -1].norm(dim=-1).mean() / direction.norm()
        before, after = self._pushed(direction)
        moved = (after - before).norm(dim=-1) > 0
        where = torch.zeros_like(moved)
        where[:, -1] = True
        error = relative((after - before)[:, -1], direction.expand(len(before), -1))
        passed, error, says = self._within(error, "the last position moved by just the vector, the others not at all")
        return passed and torch.equal(moved, where), error, says

    def word(self, sentence: str, text: str, there: bool) -> tuple[bool | None, None, str]:
        tokenizer = self.lmm.tokenizer
        ids = tokenizer.encode(sentence, add_special_tokens=False)
        said = words.decode(tokenizer, ids)
        if said.strip().lower() != sentence.lower():
            return None, None, f"this tokenizer cannot say {sentence!r}; it says {said.strip()!r}"
        match = Word(text).find(said)
        if match is None or not there:
            return (match is None) != there, None, f"{text!r} is {'not ' * (match is None)}found in {said.strip()!r}"
        offsets = words.token_offsets(tokenizer, ids)
        first, last = words.token_span(offsets, match)
        pieces = said[offsets[first][0] : offsets[last][1]]
        return text in pieces.lower(), None, f"{text!r} is in tokens {first} to {last} of {len(ids)}: {pieces!r}"


def hidden_states(out: Any) -> Sequence[Tensor] | None:
    """The decoder's states in what a model of transformers puts out, wherever they lie in it."""
    for holder in (out, getattr(out, "language_model_outputs", None)):
        for name in ("decoder_hidden_states", "hidden_states"):
            found = getattr(holder, name, None)
            if found is not None:
                return found
    return None
