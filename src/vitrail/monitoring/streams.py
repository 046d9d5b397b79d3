"""Streams: what is followed of each observation: every concept, the novelty, and frequent words of the captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from vitrail.errors import UsageError
from vitrail.monitoring.observation import Observation
from vitrail.words.captions import words_said

Kind = Literal["concept", "novelty", "word"]


@dataclass(frozen=True)
class Stream:
    """One number of each observation.

    Args:
        kind: "concept", the strength of one; "novelty", the error; "word", whether the caption has it.
        name: the title of the concept, "novelty", or the word.
        concept: the index of the concept.
    """

    kind: Kind
    name: str
    concept: int | None = None

    def __str__(self) -> str:
        if self.kind == "concept":
            return f"concept {self.concept} ({self.name})" if self.name else f"concept {self.concept}"
        return self.name if self.kind == "novelty" else f"the word {self.name!r}"


@dataclass(frozen=True)
class Streams:
    """The streams of one study: its concepts in their order, the novelty, the words.

    Args:
        titles: of the concepts.
        words: those that are watched.
    """

    titles: tuple[str, ...]
    words: tuple[str, ...]

    @cached_property
    def all(self) -> tuple[Stream, ...]:
        """All of them, in the order of the columns of `values`."""
        concepts = (Stream("concept", title, i) for i, title in enumerate(self.titles))
        return (*concepts, Stream("novelty", "novelty"), *(Stream("word", word) for word in self.words))

    @property
    def groups(self) -> tuple[int, int]:
        """How many streams are of states, and how many of words."""
        return len(self.titles) + 1, len(self.words)

    def values(self, observations: Sequence[Observation]) -> np.ndarray:
        """(n, streams) float32; 1 for a word that the caption has.

        Raises:
            UsageError: words are watched, and an observation has no caption.
        """
        if self.words and any(o.caption is None for o in observations):
            raise UsageError(
                "The reference watches words of captions, and observations come without text. Keep texts, or fit a "
                "reference without words (n_words=0)."
            )
        if not observations:
            return np.empty((0, len(self.all)), np.float32)
        said = words_said([o.caption or ""] for o in observations)
        has = [[word in words for word in self.words] for words in said]
        numbers = [[*o.strengths, o.error, *words] for o, words in zip(observations, has, strict=True)]
        return np.array(numbers, np.float32)
