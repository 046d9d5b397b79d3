"""Control words: the baseline for grounding scores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from vitrail.grounding import WordReader

#: Of the words nearest in frequency, so many are drawn from.
NEIGHBOURS = 10


def random_words(reader: WordReader, n_lists: int, seed: int) -> list[list[str]]:
    """`n_lists` lists of words: those of random directions (normal, so that each direction is as likely), decoded as
    concepts are and through the same filter (CoX-LMM's Rnd-Words)."""
    directions = np.random.default_rng(seed).standard_normal((n_lists, reader.lmm.n_features))
    return reader.words(directions)


def matched_words(
    lists: Sequence[Sequence[str]],
    vocabulary: Iterable[str],
    captions: Iterable[str],
    n_lists: int,
    seed: int,
) -> list[list[list[str]]]:
    """For each list `n_lists` others, each of whose words is about as frequent in `captions` as the one it stands for,
    and none of which is in the list itself."""
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


def _distinct(near: Sequence[np.ndarray], names: Sequence[str], rng: np.random.Generator) -> list[str]:
    """One word from each of `near`, none twice while there are others."""
    taken: list[int] = []
    for choices in near:
        fresh = [int(i) for i in choices if i not in taken][:NEIGHBOURS]
        if fresh:
            taken.append(fresh[int(rng.integers(len(fresh)))])
    return [names[i] for i in taken]
