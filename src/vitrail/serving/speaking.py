"""What the model says of an image, word by word, and the concepts behind each word that a study is about.

The model generates once. While it does, each token is told as it comes, and the states that predict it are kept; of
those that belong to a word with a study, the concepts are worked out as `vitrail.explain` does.
"""

from __future__ import annotations

import difflib
import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from PIL import Image
from torch import Tensor

from vitrail import words
from vitrail.errors import ModelError
from vitrail.explanation import ActiveConcept, concepts_behind
from vitrail.lmm import LMM, Generation, Layer, ModelDescription, load_as
from vitrail.lmm.positions import Pass
from vitrail.lmm.watching import Spoken
from vitrail.scores.verdicts import Verdict, explained
from vitrail.serving.collection import Collection, Found
from vitrail.steering import Intervention, steer
from vitrail.studies import Study, open_study

#: The longest answer, in tokens, where no study says another length.
LONGEST = 64


@dataclass(frozen=True)
class LookAlike:
    """A sample of a study whose activations are like those of the state; `row` is its row."""

    row: int
    text: str


@dataclass(frozen=True)
class WordBehind:
    """The concepts behind a word that the model said, by one study.

    Args:
        study: the id of the study.
        name: of the study, for people.
        word: the word as it was said.
        start: where it begins in the text, in characters; `end` is where it ends.
        concepts: the most active ones, the strongest first.
        titles: of these concepts.
        look_alikes: samples of the study.
        explained: the explained variance of the state; what is left of 1 is the novelty.
        verdict: what follows from it.
        novelty: share of the study's samples, in %, of whose states the concepts leave less.
    """

    study: str
    name: str
    word: str
    start: int
    end: int
    concepts: tuple[ActiveConcept, ...]
    titles: tuple[str, ...]
    look_alikes: tuple[LookAlike, ...]
    explained: float
    verdict: Verdict
    novelty: float


@dataclass(frozen=True)
class Part:
    """A part of a text: `kind` is "word" or "between"."""

    text: str
    kind: Literal["word", "between"]


@dataclass(frozen=True)
class Said:
    """What the model said: its text in parts, and what is behind its words, where a study knows."""

    text: str
    parts: tuple[Part, ...]
    behind: tuple[WordBehind, ...] = ()


@dataclass(frozen=True)
class Difference:
    """A piece of a text after a change: the words are the "same", "gone" from before, or "new"."""

    kind: Literal["same", "gone", "new"]
    text: str


class Speaker:
    """The one model in memory. Another one is loaded when it is asked for, and takes its place.

    Args:
        model: where models are, if not where the studies found them; see `load_as`.
        device: as in `load`.
        trust_remote_code: as in `load`.
    """

    def __init__(
        self,
        model: str | None = None,
        device: str | None = None,
        trust_remote_code: bool = False,
        lmm: LMM | None = None,
    ) -> None:
        self._model, self._device, self._trust = model, device, trust_remote_code
        self._lmm, self._of = lmm, None if lmm is None else lmm.describe().fingerprint

    @property
    def name(self) -> str:
        """The model that is loaded now; empty for none."""
        return "" if self._lmm is None else self._lmm.name

    def lmm(self, described: ModelDescription, prompt: str | None, load: Callable[[], None]) -> LMM:
        """The model of that description, asked with `prompt`, its own for None.

        Args:
            load: is called before a model is loaded.

        Raises:
            ModelError: it cannot be loaded.
        """
        if self._lmm is None or self._of != described.fingerprint:
            load()
            self._lmm = self._of = None
            gc.collect()
            self._lmm = load_as(described, model=self._model, device=self._device, trust_remote_code=self._trust)
            self._of = described.fingerprint
        return self._lmm if prompt is None else replace(self._lmm, prompt=prompt)


@dataclass(frozen=True)
class Heard:
    """An answer, and the states that predict its tokens."""

    answer: Generation
    spoken: Spoken | None


def answer(
    lmm: LMM,
    image: Image.Image,
    request: str,
    *,
    tell: Callable[[str], None],
    layers: Sequence[Layer] = (),
    interventions: Sequence[Intervention] = (),
    max_new_tokens: int = LONGEST,
) -> Heard:
    """What `lmm` says of `image` when it is asked `request`, greedily.

    Args:
        tell: is given the text so far with every token; what it raises ends the generation.
        layers: of which states are kept.
        interventions: applied while it speaks.
        max_new_tokens: the longest answer.

    Raises:
        DataError: the request has a control token in it, or the model's processor refuses the image.
    """
    lmm.check_text(request, "The request")
    inputs = lmm.prepare([image], [request])
    kept: list[Spoken | ModelError] = []
    with ExitStack() as block:
        if layers:
            block.enter_context(lmm.watched(layers, kept.append))
        if interventions:
            block.enter_context(steer(lmm, *interventions))
        block.enter_context(_listening(lmm, tell))
        said = lmm.generate(inputs, max_new_tokens)[0]
    for one in kept:
        if isinstance(one, ModelError):
            raise one
    return Heard(said, next((one for one in kept if isinstance(one, Spoken)), None))


@contextmanager
def _listening(lmm: LMM, tell: Callable[[str], None]) -> Iterator[None]:
    """Gives `tell` the text so far with every token that the model generates of one image inside the block."""
    said: list[int] = []

    def hear(_layer: Layer, states: Tensor, now: Pass) -> Tensor:
        if now.ids is not None and now.start + now.width > now.prompt:  # a pass that reads what was just said
            said.append(int(now.ids[0, -1]))
            tell(lmm.backend.generation(said).text.strip())
        return states

    with lmm.edited([lmm.n_blocks], hear):
        yield


def said_of(lmm: LMM, heard: Heard, collection: Collection, studies: Sequence[Found]) -> Said:
    """What was said, with the concepts behind each word that one of `studies`, all of this model, is about."""
    text = heard.answer.text
    behind = [found for study in studies for found in _behind(lmm, heard, collection, study)]
    cut = len(text) - len(text.lstrip())
    shifted = tuple(replace(b, start=b.start - cut, end=b.end - cut) for b in behind)
    return Said(text.strip(), parts_of(text.strip(), shifted), shifted)


def _behind(lmm: LMM, heard: Heard, collection: Collection, found: Found) -> Iterator[WordBehind]:
    """The concepts behind the first place of the study's word, as the study itself takes the first."""
    match = None if found.word is None else found.word.find(heard.answer.text)
    if match is None or heard.spoken is None or found.read_at != "word":
        return
    study = collection.opened(found, "study", open_study)
    first, last = words.token_span(words.token_offsets(lmm.tokenizer, heard.answer.ids), match)
    step = first if study.activations.options.alignment == "predicts" else last + 1
    if step >= heard.spoken.ids.shape[1]:
        return  # the word ends the answer, and no pass read it
    state = heard.spoken.at(lmm.layer(study.learned.layer), [0], [step]).float().cpu().numpy()
    one = concepts_behind(state, study.activations, study.learned, study.grounding, n_concepts=6, n_look_alikes=6)[0]
    titles, rows = study.titles, {row.sample_id: i for i, row in enumerate(study.activations.rows)}
    yield WordBehind(
        study=found.entry.id,
        name=found.entry.name,
        word=match.form,
        start=match.start,
        end=match.end,
        concepts=one.concepts,
        titles=tuple(titles[c.index] for c in one.concepts),
        look_alikes=tuple(LookAlike(rows[i], study.activations.rows[rows[i]].text.strip()) for i in one.look_alikes),
        explained=one.explained_variance,
        verdict=explained(one.explained_variance, "what sets this image apart"),
        novelty=_novelty(collection, found, study, one.explained_variance),
    )


def _novelty(collection: Collection, found: Found, study: Study, share: float) -> float:
    """The share of the study's samples, in %, of whose states the concepts leave less than of this one."""
    shares = collection.opened(found, "explained", lambda _: explained_shares(study))
    return float(100 * np.mean(shares > share)) if len(shares) else float("nan")


def explained_shares(study: Study) -> np.ndarray:
    """(n,): the explained variance of the state of each sample that was learned from."""
    learned = study.learned
    Z = study.activations.states(learned.layer)[np.flatnonzero(learned.kept)].astype(np.float64)
    left = ((Z - learned.learner.inverse_transform(learned.V)) ** 2).sum(axis=1)
    whole = ((Z - Z.mean(axis=0)) ** 2).sum(axis=1)
    return 1 - left / np.where(whole > 0, whole, np.nan)


def parts_of(text: str, behind: Sequence[WordBehind] = ()) -> tuple[Part, ...]:
    """A text in words and what is between them; a place of `behind` is one part, whatever it holds."""
    places = {(b.start, b.end) for b in behind}
    covered = {i for start, end in places for i in range(start, end)}
    spans = sorted(places | {span for span in words.word_spans(text) if not covered & set(range(*span))})
    found: list[Part] = []
    end = 0
    for start, stop in spans:
        if start < end:
            continue  # two studies of overlapping words: the first stands
        found += [Part(text[end:start], "between")] * (start > end) + [Part(text[start:stop], "word")]
        end = stop
    return (*found, *([Part(text[end:], "between")] if end < len(text) else []))


def differences(before: str, after: str) -> tuple[Difference, ...]:
    """What became of the words of a text.

    >>> [(d.kind, d.text) for d in differences("a red dog", "a blue dog")]
    [('same', 'a '), ('gone', 'red'), ('new', 'blue'), ('same', ' dog')]
    """
    a, b = ([part.text for part in parts_of(text)] for text in (before, after))
    found: list[Difference] = []
    for kind, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append(Difference("same", "".join(a[i:j])))
        else:
            found += [Difference("gone", "".join(a[i:j]))] * (j > i) + [Difference("new", "".join(b[k:m]))] * (m > k)
    return tuple(found)
