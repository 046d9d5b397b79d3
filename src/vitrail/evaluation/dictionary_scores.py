"""Scores of a dictionary by itself: its words, its directions, what it rebuilds, how sparse and how stable it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitrail import scores
from vitrail.concepts import Concepts
from vitrail.concepts.stability import stability
from vitrail.evaluation.measures import WordList
from vitrail.evaluation.results import DictionaryScore
from vitrail.samples import Sample
from vitrail.scores import estimate
from vitrail.words import Word

#: Draws of a control that is random.
DRAWS = 20

# The names of the scores, in evaluation.json and in tables.
OVERLAP = "overlap"
PAIRWISE_COSINE = "pairwise cosine"
EXPLAINED_VARIANCE = "explained variance"
EXPLAINED_VARIANCE_HELD_OUT = "explained variance, held out"
ACTIVE = "active concepts per sample"
HOYER = "sparsity (Hoyer)"
DEAD = "dead concepts"
STABILITY_OVER_SEEDS = "stability over seeds"
STABILITY_OVER_RESAMPLES = "stability over resamples"
OWN_WORDS = "own words in own captions"


def score_dictionary(
    concepts: Concepts,
    Z: Float[np.ndarray, "n d"],
    Z_test: Float[np.ndarray, "m d"],
    lists: Sequence[WordList],
    random: Sequence[WordList],
    own: Sequence[Sequence[Sample]],
    seed: int = 0,
) -> dict[str, DictionaryScore]:
    """Every score beside its control, by name. Intervals are over the units of the score: concepts or samples.

    Args:
        Z: the states that were learned from.
        Z_test: held-out states.
        lists: the words of each concept.
        random: lists of random words.
        own: the most activating samples of each concept.
    """
    chance = _ByChance.of(concepts, Z, random, np.random.default_rng(seed))
    k, mean = len(concepts), Z.astype(np.float64).mean(axis=0)
    stable = concepts.stability or vars(stability(concepts.learner, Z))
    own_share, other_share = caption_shares(lists, own)

    def score(values: np.ndarray, control: float, what: str) -> DictionaryScore:
        return DictionaryScore(estimate(values, seed), control, what)

    def explained(states: np.ndarray) -> DictionaryScore:
        learner = concepts.learner
        rebuilt = np.asarray(learner.inverse_transform(np.asarray(learner.transform(states))))
        projected = (states - mean) @ chance.subspace @ chance.subspace.T + mean
        control = scores.explained_variance(states, projected, mean).mean
        return DictionaryScore(
            scores.explained_variance(states, rebuilt, mean, seed), control, f"{k} random directions"
        )

    return {
        OVERLAP: score(_overlaps(lists), chance.overlap, "random words"),
        PAIRWISE_COSINE: score(scores.pairwise_cosine(concepts.U), chance.cosine, "random directions"),
        EXPLAINED_VARIANCE: explained(Z),
        EXPLAINED_VARIANCE_HELD_OUT: explained(Z_test),
        ACTIVE: score(scores.l0(concepts.V), float(k), "all of them"),
        HOYER: score(scores.hoyer(concepts.V), chance.hoyer, "exponential noise"),
        DEAD: score(scores.dead(concepts.V), float("nan"), ""),
        STABILITY_OVER_SEEDS: score(np.array(stable["seeds"]), chance.stability, "samples as concepts"),
        STABILITY_OVER_RESAMPLES: score(np.array(stable["resamples"]), chance.stability, "samples as concepts"),
        OWN_WORDS: score(own_share, estimate(other_share).mean, "captions of the other concepts' images"),
    }


@dataclass(frozen=True)
class _ByChance:
    """The same scores of random dictionaries; `subspace` (d, k) is the span of k random directions."""

    subspace: Float[np.ndarray, "d k"]
    overlap: float
    cosine: float
    stability: float
    hoyer: float

    @classmethod
    def of(
        cls, concepts: Concepts, Z: Float[np.ndarray, "n d"], random: Sequence[WordList], rng: np.random.Generator
    ) -> _ByChance:
        k, d = len(concepts), concepts.U.shape[1]
        subspace = np.linalg.qr(rng.standard_normal((d, min(k, d))))[0]
        lists = [[random[i] for i in rng.integers(0, len(random), k)] for _ in range(DRAWS)]
        cosines = [scores.pairwise_cosine(rng.standard_normal((k, d))).mean() for _ in range(DRAWS)]
        stability = _chance_stability(Z if concepts.mean is None else Z - concepts.mean, k, rng)
        hoyer = float(np.nanmean(scores.hoyer(rng.exponential(size=concepts.V.shape)))) if k > 1 else float("nan")
        return cls(
            subspace, float(np.mean([scores.overlap(p) for p in lists])), float(np.mean(cosines)), stability, hoyer
        )


def _overlaps(lists: Sequence[WordList]) -> Float[np.ndarray, " k"]:
    """The overlap of each concept with the others; `Overlap(U)` is their mean."""
    matrix = scores.overlap_matrix(lists)
    return (matrix.sum(axis=1) - np.diag(matrix)) / max(len(lists) - 1, 1)


def _chance_stability(Z: Float[np.ndarray, "n d"], k: int, rng: np.random.Generator) -> float:
    """The matched cosine of two dictionaries of `k` samples drawn at random: states share most of their direction."""
    draws = [(rng.choice(len(Z), k, replace=False), rng.choice(len(Z), k, replace=False)) for _ in range(DRAWS)]
    return float(np.mean([scores.matched_cosine(Z[a], Z[b]).mean() for a, b in draws]))


def caption_shares(
    lists: Sequence[WordList], own: Sequence[Sequence[Sample]]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Whether the two groundings of a concept agree: the share of its words that stand in a caption of its own most
    activating samples, and the mean share that stands in those of another concept; NaN without words."""
    said = ["\n".join(text for sample in mine for text in sample.references) for mine in own]
    found, others = np.full(len(lists), np.nan), np.full(len(lists), np.nan)
    for i, words in enumerate(lists):
        if words:
            patterns = [Word(w) for w in words]
            hits = np.array([np.mean([bool(p.find(text)) for p in patterns]) for text in said])
            found[i] = hits[i]
            others[i] = np.delete(hits, i).mean() if len(hits) > 1 else np.nan
    return found, others
