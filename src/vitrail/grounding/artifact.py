"""A grounding on disk: each concept in words and in samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from vitrail.artifacts import check_parent, manifest_of, plain, read_finished, read_json, typed
from vitrail.concepts import Concepts
from vitrail.grounding.logit import WordLogit
from vitrail.grounding.options import GroundingOptions
from vitrail.notebook import Shown, View, bars
from vitrail.words import lemma

KIND = "grounding"
FILE = "grounding.json"


@dataclass(frozen=True)
class GroundedWord:
    """A word of a concept: its token, and the logit of that token in `W_U u_k`."""

    word: str
    token: int
    logit: float


@dataclass(frozen=True)
class GroundedSample:
    """A most activating sample of a concept.

    Args:
        sample_id: its id.
        row: its row among the activations.
        activation: in the units of the method.
        strength: the activation in multiples of its root mean square over all samples; see `Concepts.strengths`.
    """

    sample_id: str
    row: int
    activation: float
    strength: float = math.nan


@dataclass(frozen=True)
class CaptionWord:
    """A word that captions of a concept's samples have more often than those of the other samples.

    Args:
        word: the word, or the phrase that it makes with the word of interest ("hot dog").
        inside: share of the samples that activate the concept most whose captions have it.
        outside: share of the other samples whose captions have it.
        q: the false discovery rate at which the difference is significant: Fisher's exact test, one-sided, corrected
            for all words of the concept (Benjamini & Hochberg 1995).
    """

    word: str
    inside: float
    outside: float
    q: float


@dataclass(frozen=True)
class GroundedConcept:
    """A concept in words and in samples, the strongest first.

    Args:
        index: its row in `U`.
        words: decoded from its direction; none for a concept that no sample activates.
        samples: those that activate it most.
        share: of samples whose strongest concept it is; see `Concepts.comparable`.
        captions: words that the captions of its samples have more often than the others'; empty where the samples have
            no captions, or where no word stands out.
        mean: whether it is the mean of all states, as one concept may be in the paper's form: its direction is theirs,
            and every sample has it.
        named: what it was named; empty for a concept that was found.
    """

    index: int
    words: tuple[GroundedWord, ...]
    samples: tuple[GroundedSample, ...]
    share: float
    captions: tuple[CaptionWord, ...] = ()
    mean: bool = False
    named: str = ""

    @property
    def title(self) -> tuple[str, ...]:
        """What it was named, and that it was; or up to three words that name it: those of its captions, else those
        decoded from it, of forms of one word the first; or "never active". It is the same on every page."""
        if self.named:
            return (f"{self.named} (named)",)
        words = [w.word for w in self.captions] or [w.word for w in self.words]
        if not words and not self.samples:
            return ("never active",)
        first_of = {_lemma(word): word for word in reversed(words)}
        return tuple(dict.fromkeys(first_of[_lemma(word)] for word in words))[:3]

    def name(self, word: str) -> str:
        """Its title as one text, the same everywhere; `word` is the word of interest."""
        return f"mean of “{word}”" if self.mean else " · ".join(self.title) or "no words"

    @property
    def disagrees(self) -> bool:
        """Whether captions stand out, and none of their words is among those decoded from its direction, in whatever
        inflection."""
        return bool(self.captions) and not {_lemma(w.word) for w in self.captions} & {
            _lemma(w.word) for w in self.words
        }


def _lemma(text: str) -> str:
    """The dictionary form of a word; of a phrase, whose second word is the word of interest, that of the first."""
    return lemma(text.split()[0])


@dataclass(frozen=True)
class GroundedMean:
    """The mean of all states in words: what every sample has, whatever its concepts.

    Args:
        words: decoded from its direction, the strongest first.
        share: of the states' squared norm that is the mean's, 0 to 1.
    """

    words: tuple[GroundedWord, ...]
    share: float


@manifest_of(KIND)
@dataclass(frozen=True)
class _Manifest:
    """What the manifest of a grounding has."""

    parameters: GroundingOptions
    mean: GroundedMean | None = None
    word_logit: WordLogit | None = None


@dataclass(frozen=True)
class Grounding(Shown):
    """The concepts of a word, grounded."""

    folder: Path
    manifest: dict[str, Any]
    concepts: tuple[GroundedConcept, ...]

    def __len__(self) -> int:
        return len(self.concepts)

    def __getitem__(self, index: int) -> GroundedConcept:
        return self.concepts[index]

    @property
    def options(self) -> GroundingOptions:
        """How the concepts were grounded; passed to `ground_as`, it grounds in the same way again."""
        return GroundingOptions(**self.manifest["parameters"])

    def as_list(self) -> list[dict[str, Any]]:
        """The concepts as plain values for JSON, without activations in the units of the method."""
        values: list[dict[str, Any]] = plain(self.concepts)
        for concept in values:
            for sample in concept["samples"]:
                del sample["activation"]
        return values

    @cached_property
    def mean(self) -> GroundedMean | None:
        """The mean of the states in words, where it is a row of its own; else None."""
        found = self.manifest.get("mean")
        return None if found is None else typed(found, GroundedMean)

    @cached_property
    def word_logit(self) -> WordLogit | None:
        """What the concepts hold of the logit of their word; None where the states read it, or in older groundings."""
        found = self.manifest.get("word_logit")
        return None if found is None else typed(found, WordLogit)

    @property
    def words(self) -> list[list[str]]:
        """The words of each concept."""
        return [[w.word for w in c.words] for c in self.concepts]

    def _shown(self) -> View:
        shares = bars([c.share for c in self.concepts], "{:.0%}")
        rows = tuple(
            (c.index, " · ".join(c.title), ", ".join(w.word for w in c.words), share)
            for c, share in zip(self.concepts, shares, strict=True)
        )
        return View("Grounding", f"of {len(rows)} concepts", ("concept", "title", "words", "share of samples"), rows)


@dataclass(frozen=True)
class GroundedConcepts(Concepts):
    """Concepts together with their grounding: a sequence of them, each in words and in samples."""

    grounding: Grounding

    @classmethod
    def of(cls, concepts: Concepts, grounding: Grounding) -> GroundedConcepts:
        """`concepts`, which `grounding` was made from."""
        return cls(**{f.name: getattr(concepts, f.name) for f in fields(Concepts)}, grounding=grounding)

    def __getitem__(self, index: int) -> GroundedConcept:
        return self.grounding[index]

    def __iter__(self) -> Iterator[GroundedConcept]:
        return iter(self.grounding.concepts)

    def _shown(self) -> View:
        own, words = super()._shown(), self.grounding._shown()
        rows = tuple((*word, *row[1:]) for word, row in zip(words.rows, own.rows, strict=True))
        return replace(own, heads=(*words.heads, *own.heads[1:]), rows=rows)


def open_grounding(folder: str | Path, concepts: Concepts | None = None) -> Grounding:
    """The grounding in `folder`; when `concepts` are given, they must be the ones that it was made from.

    Raises:
        ArtifactError: missing, damaged, newer, or made from other concepts.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "ground")
    if concepts is not None:
        check_parent(folder, manifest, concepts.folder, "concepts")
    return Grounding(folder, manifest, read_json(folder / FILE, tuple[GroundedConcept, ...], "ground"))
