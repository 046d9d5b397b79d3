"""Scores of a dictionary by itself: its words, its directions, what it rebuilds, how sparse and how stable it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vitrail import scores
from vitrail.concepts import Concepts
from vitrail.concepts.stability import stability
from vitrail.evaluation.measures import WordList
from vitrail.samples import Sample
from vitrail.scores import Estimate, estimate
from vitrail.words import Word

#: Draws of a control that has chance in it.
DRAWS = 20


@dataclass(frozen=True)
class Figure:
    """A score with its interval, and what the same is for `what`; None where nothing is fit to be held against it."""

    value: Estimate
    control: float | None
    what: str


def dictionary_scores(
    concepts: Concepts,
    Z: np.ndarray,
    Z_test: np.ndarray,
    lists: Sequence[WordList],
    random: Sequence[WordList],
    own: Sequence[Sequence[Sample]],
    seed: int = 0,
) -> dict[str, Figure]:
    """Every score beside its control; the intervals are over concepts or over samples, whatever the score is a mean of.

    Args:
        Z: the states that were learned from, (n_samples, n_features); `Z_test` held-out ones.
        lists: the words of each concept; `random` a pool of lists of random words.
        own: the most activating samples of each concept.
    """
    learner, U, V = concepts.learner, concepts.U, concepts.V
    k, rng = len(U), np.random.default_rng(seed)
    mean = Z.astype(np.float64).mean(axis=0)
    rebuilt, rebuilt_test = (
        np.asarray(learner.inverse_transform(np.asarray(learner.transform(z)))) for z in (Z, Z_test)
    )
    subspace = np.linalg.qr(rng.standard_normal((Z.shape[1], min(k, Z.shape[1]))))[0]
    pools = [[random[i] for i in rng.integers(0, len(random), k)] for _ in range(DRAWS)]
    gauss = [scores.pairwise_cosine(rng.standard_normal(U.shape)).mean() for _ in range(DRAWS)]
    own_share, other_share = caption_shares(lists, own)
    stable = concepts.stability or vars(stability(learner, Z))
    chance = _chance_stability(Z, k, rng)

    def by_chance(z: np.ndarray) -> float:
        return scores.explained_variance(z, (z - mean) @ subspace @ subspace.T + mean, mean).mean

    def about(values: np.ndarray) -> Estimate:
        return estimate(values, seed)

    return {
        "overlap": Figure(about(_overlaps(lists)), float(np.mean([scores.overlap(p) for p in pools])), "random words"),
        "pairwise cosine": Figure(about(scores.pairwise_cosine(U)), float(np.mean(gauss)), "random directions"),
        "explained variance": Figure(
            scores.explained_variance(Z, rebuilt, mean, seed), by_chance(Z), f"{k} random directions"
        ),
        "explained variance, held out": Figure(
            scores.explained_variance(Z_test, rebuilt_test, mean, seed), by_chance(Z_test), f"{k} random directions"
        ),
        "active concepts per sample": Figure(about(scores.l0(V)), float(k), "all of them"),
        "sparsity (Hoyer)": Figure(
            about(scores.hoyer(V)), float(np.nanmean(scores.hoyer(rng.exponential(size=V.shape)))) if k > 1 else None,
            "exponential noise",
        ),
        "dead concepts": Figure(about(scores.dead(V)), None, ""),
        "stability over seeds": Figure(about(np.array(stable["seeds"])), chance, "samples as concepts"),
        "stability over resamples": Figure(about(np.array(stable["resamples"])), chance, "samples as concepts"),
        "own words in own captions": Figure(
            about(own_share), estimate(other_share).mean, "captions of the other concepts' images"
        ),
    }  # fmt: skip


def _overlaps(lists: Sequence[WordList]) -> np.ndarray:
    """(n_concepts,): the overlap of each concept with the others; `Overlap(U)` is its mean."""
    matrix = scores.overlap_matrix(lists)
    return (matrix.sum(axis=1) - np.diag(matrix)) / max(len(lists) - 1, 1)


def _chance_stability(Z: np.ndarray, k: int, rng: np.random.Generator) -> float:
    """How alike two dictionaries of `k` samples drawn at random are: states share most of their direction."""
    draws = [(rng.choice(len(Z), k, replace=False), rng.choice(len(Z), k, replace=False)) for _ in range(DRAWS)]
    return float(np.mean([scores.matched_cosine(Z[a], Z[b]).mean() for a, b in draws]))


def caption_shares(lists: Sequence[WordList], own: Sequence[Sequence[Sample]]) -> tuple[np.ndarray, np.ndarray]:
    """Whether the two groundings of a concept agree, (n_concepts,) each: the share of its words that stand in a caption
    of its own most activating samples, and the share in those of another concept's, on average; NaN without words."""
    said = ["\n".join(text for sample in mine for text in sample.references) for mine in own]
    found, others = np.full(len(lists), np.nan), np.full(len(lists), np.nan)
    for i, words in enumerate(lists):
        if words:
            patterns = [Word(w) for w in words]
            hits = np.array([np.mean([bool(p.find(text)) for p in patterns]) for text in said])
            found[i] = hits[i]
            others[i] = np.delete(hits, i).mean() if len(hits) > 1 else np.nan
    return found, others
