"""Control words: the baseline for grounding scores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from vitrail.evaluation.measures import WordList
from vitrail.grounding import WordReader
from vitrail.samples import Sample
from vitrail.scores import unit

#: A matched word is drawn from this many words of nearest frequency.
NEIGHBOURS = 10


@dataclass(frozen=True)
class NoiseDictionary:
    """A dictionary learned from images of noise.

    Args:
        words: the words of each concept.
        own: for each concept the samples whose noise activates it most.
        V: (n_test, n_concepts) activations of the held-out samples in this dictionary, comparable between concepts.
    """

    words: Sequence[WordList]
    own: Sequence[Sequence[Sample]]
    V: Float[np.ndarray, "n k"]


@dataclass(frozen=True)
class Controls:
    """What the scores of a dictionary are compared with.

    Args:
        random: lists of random words, each at least as long as those of the concepts.
        matched: for each concept lists of words as frequent as its own, as many for each concept; or none at all.
        noise: the dictionary of noise images; None where it was not made.
    """

    random: Sequence[WordList]
    matched: Sequence[Sequence[WordList]] = ()
    noise: NoiseDictionary | None = None


def random_words(reader: WordReader, n_lists: int, seed: int) -> list[list[str]]:
    """The words of `n_lists` random directions, read and filtered as those of concepts are (CoX-LMM's Rnd-Words).

    Directions have norm 1, as concepts have, and each is equally likely.
    """
    directions = np.random.default_rng(seed).standard_normal((n_lists, reader.lmm.n_features))
    return reader.words(unit(directions))


def matched_words(
    lists: Sequence[WordList], vocabulary: Iterable[str], captions: Iterable[str], n_lists: int, seed: int
) -> list[list[list[str]]]:
    """For each of `lists` `n_lists` lists of other words, each about as frequent in `captions` as the word that it
    replaces.

    Args:
        lists: the words of each concept; none of them is in a list that replaces them.
        vocabulary: the words to choose from.
    """
    rng = np.random.default_rng(seed)
    counts = Counter(w for text in captions for w in re.findall(r"\w+", text.lower()))
    names = sorted({w.lower() for w in vocabulary})
    frequency = np.array([np.log1p(counts[w]) for w in names])
    result = []
    for own in lists:
        free = np.array([i for i, w in enumerate(names) if w not in own], int)
        near = [
            free[np.argsort(np.abs(frequency[free] - np.log1p(counts[w])), kind="stable")[: NEIGHBOURS + len(own)]]
            for w in own
        ]
        result.append([_distinct(near, names, rng) for _ in range(n_lists)])
    return result


def _distinct(near: Sequence[Int[np.ndarray, " m"]], names: Sequence[str], rng: np.random.Generator) -> list[str]:
    """A random word from each of `near`, no word twice as long as there are others."""
    taken: list[int] = []
    for choices in near:
        fresh = [int(i) for i in choices if i not in taken][:NEIGHBOURS]
        if fresh:
            taken.append(fresh[int(rng.integers(len(fresh)))])
    return [names[i] for i in taken]
