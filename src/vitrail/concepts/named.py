"""Concepts that are named: for which samples have what, and how well their states tell it.

What is named is a word of the captions, several forms of it ("umbrella/parasol"), all words of the captions that the
states tell ("captions"), or any labels of samples.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from sklearn.model_selection import KFold

from vitrail import scores
from vitrail.activations import Row
from vitrail.errors import UsageError
from vitrail.learners import Named
from vitrail.scores import Estimate, Properties
from vitrail.words import Word, frequent_among, whole_words, words_said

#: The name that stands for every word of the captions that the states tell; "captions:de" for German words.
CAPTIONS = "captions"
#: The AUROC from which the states tell a word of the captions.
TOLD = 0.8
#: The parts that probes are fitted without, to be judged on each.
FOLDS = 5


@dataclass(frozen=True)
class NamedConcept:
    """A concept that is named.

    Args:
        name: what it was named.
        samples: how many of the samples learned from have it.
        auroc: how well a probe of the states tells it of samples that the probe was not fitted to (five folds).
    """

    name: str
    samples: int
    auroc: Estimate


#: Name → the ids of the samples that have it.
Labels = Mapping[str, Collection[str]]


def properties_of(named: Sequence[str], labels: Labels, rows: Sequence[Row], word: Word) -> Properties:
    """Which of the samples have what is named; words for `CAPTIONS` are not chosen yet. `word` is that of interest.

    Raises:
        UsageError: too few samples have one of the names, or lack it; or the language of the captions is not known.
    """
    asked: dict[str, list[bool]] = {}
    for name in named:
        if name.split(":")[0] == CAPTIONS:
            said = words_said(row.references for row in rows)
            language = name.partition(":")[2] or "en"
            common = max(scores.FEWEST, int(np.ceil(scores.COMMON * len(rows))))
            for other in frequent_among(said, word, language, common):
                asked.setdefault(other, [other in words for words in said])
        else:
            find = whole_words(name.split("/")).search
            asked[name] = [any(find(text) for text in row.references) for row in rows]
    for name, ids in labels.items():
        asked[name] = [row.sample_id in set(ids) for row in rows]
    has = np.array(list(asked.values()), bool).reshape(len(asked), len(rows)).T
    found = Properties(("named",) * len(asked), tuple(asked), has, np.ones_like(has))
    must = {*labels, *(name for name in named if name.split(":")[0] != CAPTIONS)}
    for name, enough, n in zip(asked, found.enough(), has.sum(axis=0), strict=True):
        if name in must and not enough:
            raise UsageError(
                f"A concept cannot be named {name!r}: {n} of {len(rows)} samples have it in their captions or labels; "
                f"at least {scores.FEWEST} must have it, and as many lack it."
            )
    return found.of(np.flatnonzero(found.enough()))


def cross_fitted(Z: Float[np.ndarray, "n d"], has: Bool[np.ndarray, "n f"], seed: int = 0) -> Float[np.ndarray, "n f"]:
    """What probes read from the states of samples that they were not fitted to, each fifth by the rest.

    A part with more samples of a property leaves fewer to the rest, whose probes then read less: that is taken off.
    """
    read = np.empty(has.shape)
    for rows, others in KFold(FOLDS, shuffle=True, random_state=seed).split(Z):
        W, offsets = scores.linear_probes(Z[rows], has[rows])
        read[others] = Z[others].astype(np.float64) @ W.T + offsets - has[rows].mean(axis=0)
    return read


def name_concepts(
    Z: Float[np.ndarray, "n d"], properties: Properties, named: Sequence[str], labels: Labels, seed: int = 0
) -> tuple[Named, tuple[NamedConcept, ...], Bool[np.ndarray, "n f"]]:
    """The named concepts of states `Z`, what is known of each, and which samples have them.

    Raises:
        UsageError: the states tell no word of the captions.
    """
    told = scores.separation(cross_fitted(Z, properties.has, seed), properties)
    asked = {*labels, *named}
    chosen = np.array([j for j, v in enumerate(properties.values) if v in asked or told.auroc[j] >= TOLD], int)
    if not len(chosen):
        raise UsageError(f"The states tell no word of the captions (AUROC ≥ {TOLD:g} on samples left out).")
    has = properties.has[:, chosen]
    made = tuple(
        NamedConcept(str(properties.values[j]), int(properties.has[:, j].sum()), told.mean([int(j)])) for j in chosen
    )
    return Named.fit(Z, has), made, has


def stability_of_named(
    named: Named, Z: Float[np.ndarray, "n d"], has: Bool[np.ndarray, "n f"], n_runs: int, seed: int = 0
) -> Float[np.ndarray, " f"]:
    """The mean cosine of each named concept with the same one from bootstrap resamples of the samples."""
    rng = np.random.default_rng(seed)
    again = [Named.fit(Z[rows], has[rows]).directions for rows in rng.integers(len(Z), size=(n_runs, len(Z)))]
    return np.mean([(named.directions * U).sum(axis=1) for U in again], axis=0)
