"""The two protocols of CoX-LMM (Parekh et al. 2024, section 4), with controls, intervals and p-values.

(a) concepts: the words `T_k` of a concept are scored on its own most activating images (or their captions);
(b) images: the words of the 1, 3, 5 most active concepts of a held-out image are scored on that image.

A control is the same score after one thing was replaced:

| control | what is replaced |
|---|---|
| `random` | the words, by those of random directions: as many, through the same filter |
| `frequency` | the words, by others that are as frequent in the captions |
| `shuffled` | the images, by those of another concept (a); the activations, by those of another image (b) |
| `noise` | the dictionary, by that of noise images: same texts, same positions |
| `captions` | the words, by captions that people wrote: the upper mark |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool, Float, Int

from vitrail.evaluation.control_words import Controls, NoiseDictionary
from vitrail.evaluation.measures import Measure, WordList
from vitrail.evaluation.results import Contrast, ControlName, Scored
from vitrail.samples import Sample
from vitrail.scores import Estimate, corrected, estimate, exceeded, paired_p, unpaired_gain, unpaired_p

#: Draws of random words, matched words and shuffled concepts in (a), and of each control in (b).
DRAWS, IMAGE_DRAWS = 2000, 1000
TOPS = (1, 3, 5)


def mean_over(scores: Float[np.ndarray, "n ..."], groups: Sequence[Sequence[int]]) -> Float[np.ndarray, "groups ..."]:
    """The mean of the rows of each group; NaN for an empty group, and where a row is NaN."""
    shape = (len(groups), *scores.shape[1:])
    means = [scores[list(g)].mean(axis=0) if g else np.full(shape[1:], np.nan) for g in groups]
    return np.array(means, dtype=float).reshape(shape)


def nanmean(values: Float[np.ndarray, ...]) -> float:
    """The mean of the values that are not NaN; NaN without any."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


# ---- (a) -------------------------------------------------------------------------------------------------------------


def score_concepts(
    measure: Measure, lists: Sequence[WordList], own: Sequence[Sequence[Sample]], controls: Controls, seed: int = 0
) -> Scored:
    """Protocol (a).

    Args:
        lists: the words of each concept.
        own: the most activating samples of each concept.
        controls: of its random words each concept takes as many as it has itself.
    """
    samples, groups = _grouped(own)
    k, rng = len(lists), np.random.default_rng(seed)
    crossed = mean_over(measure.words(samples, lists), groups)  # images of concept k (row) with words of concept l
    observed = np.diag(crossed).copy()
    pool = _same_length(measure, samples, lists, controls.random, groups)
    against: dict[ControlName, Contrast] = {
        "random": _against_words(observed, pool, rng, seed),
        "frequency": _against_words(observed, _matched_means(measure, samples, controls.matched, groups), rng, seed),
    }
    if k > 1:
        against["shuffled"] = _against_other_concepts(crossed, rng, seed)
    if controls.noise is not None:
        against["noise"] = _against_noise(measure, observed, controls.noise, seed)
    against["captions"] = _paired(observed, mean_over(measure.captions(samples), groups), seed)
    unit_p = [exceeded(v, pool[i]) if not np.isnan(v) else np.nan for i, v in enumerate(observed)]
    return Scored(
        estimate(observed, seed),
        against,
        tuple(map(float, observed)),
        tuple(nanmean(row) for row in pool),
        tuple(unit_p),
        tuple(corrected(unit_p)),
    )


def _grouped(own: Sequence[Sequence[Sample]]) -> tuple[list[Sample], list[list[int]]]:
    """The samples of all concepts, each once, and for every concept the positions of its own among them."""
    union = {sample.id: sample for mine in own for sample in mine}
    position = {name: i for i, name in enumerate(union)}
    return list(union.values()), [[position[s.id] for s in mine] for mine in own]


def _same_length(
    measure: Measure,
    samples: Sequence[Sample],
    lists: Sequence[WordList],
    random: Sequence[WordList],
    groups: Sequence[Sequence[int]],
) -> Float[np.ndarray, "k n_random"]:
    """The scores of random words on the images of each concept: as many words as the concept has."""
    result = np.full((len(lists), len(random)), np.nan)
    for n in {len(words) for words in lists if words}:
        means = mean_over(measure.words(samples, [words[:n] for words in random]), groups)
        for i, words in enumerate(lists):
            if len(words) == n:
                result[i] = means[i]
    return result


def _matched_means(
    measure: Measure,
    samples: Sequence[Sample],
    matched: Sequence[Sequence[WordList]],
    groups: Sequence[Sequence[int]],
) -> Float[np.ndarray, "k n_matched"]:
    """The scores of the matched words of each concept on its images."""
    k = len(groups)
    if not matched:
        return np.zeros((k, 0))
    means = mean_over(measure.words(samples, [words for mine in matched for words in mine]), groups)
    return means.reshape(k, k, -1)[np.arange(k), np.arange(k)]


def _against_words(
    observed: Float[np.ndarray, " k"], pool: Float[np.ndarray, "k n_lists"], rng: np.random.Generator, seed: int
) -> Contrast:
    """Against control words: a list of the pool is drawn for each concept, `DRAWS` times."""
    level = np.array([nanmean(row) for row in pool])
    if not pool.shape[1]:
        return Contrast(estimate(level), estimate(observed - level), float("nan"))
    picks = rng.integers(0, pool.shape[1], (DRAWS, len(pool)))
    null = np.array([nanmean(pool[np.arange(len(pool)), pick]) for pick in picks])
    return Contrast(estimate(level, seed), estimate(observed - level, seed), exceeded(nanmean(observed), null))


def _against_other_concepts(crossed: Float[np.ndarray, "k k"], rng: np.random.Generator, seed: int) -> Contrast:
    """Against the images of other concepts: their mean for each concept, and permutations for the p-value."""
    k, observed = len(crossed), np.diag(crossed)
    orders = np.array([rng.permutation(k) for _ in range(DRAWS)])
    null = np.array([nanmean(crossed[np.arange(k), order]) for order in orders])
    shuffled = np.array([nanmean(row) for row in np.where(np.eye(k, dtype=bool), np.nan, crossed)])
    return Contrast(estimate(shuffled, seed), estimate(observed - shuffled, seed), exceeded(nanmean(observed), null))


def _against_noise(measure: Measure, observed: Float[np.ndarray, " k"], noise: NoiseDictionary, seed: int) -> Contrast:
    samples, groups = _grouped(noise.own)
    level = np.diag(mean_over(measure.words(samples, noise.words), groups))
    return Contrast(estimate(level, seed), unpaired_gain(observed, level, seed), unpaired_p(observed, level, seed=seed))


def _paired(observed: Float[np.ndarray, " n"], level: Float[np.ndarray, " n"], seed: int) -> Contrast:
    return Contrast(estimate(level, seed), estimate(observed - level, seed), paired_p(observed, level, seed=seed))


# ---- (b) -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranked:
    """The `m` most active concepts of each image: `order` their numbers, `active` whether they are active at all.

    The largest activations count, as in the released code, not the largest in absolute value: words are those of
    `+u_k`. A concept whose activation is not positive is left out: its words do not describe the image.
    """

    order: Int[np.ndarray, "n m"]
    active: Bool[np.ndarray, "n m"]

    def top(
        self, scores: Float[np.ndarray, "n k"], m: int, shift: Int[np.ndarray, " n"] | None = None
    ) -> Float[np.ndarray, " n"]:
        """The mean score of the `m` most active concepts of each image; NaN for an image without any.

        Args:
            scores: of each concept on each image.
            shift: for each image the one whose concepts it takes; its own for None.
        """
        order, active = self.order[:, :m], self.active[:, :m]
        if shift is not None:
            order, active = order[shift], active[shift]
        found = np.where(active, np.take_along_axis(scores, order, axis=1), np.nan)
        counts = (~np.isnan(found)).sum(axis=1)
        return np.where(counts > 0, np.nansum(found, axis=1) / np.maximum(counts, 1), np.nan)


def ranked(V: Float[np.ndarray, "n k"], m: int = max(TOPS)) -> Ranked:
    """The `m` most active concepts of every row of `V`; of equal ones the first."""
    order = np.argsort(-V, axis=1, kind="stable")[:, :m]
    return Ranked(order, np.take_along_axis(V, order, axis=1) > 0)


def score_images(
    measure: Measure,
    lists: Sequence[WordList],
    samples: Sequence[Sample],
    V: Float[np.ndarray, "n k"],
    controls: Controls,
    seed: int = 0,
) -> dict[int, Scored]:
    """Protocol (b), for each number of concepts in `TOPS` that there are.

    Args:
        lists: the words of each concept.
        samples: held-out samples.
        V: their activations, comparable between concepts; see `Concepts.comparable`.
    """
    images = _ImageScores.of(measure, lists, samples, V, controls)
    return {m: images.scored(m, seed) for m in TOPS if m <= len(lists)}


@dataclass(frozen=True)
class _ImageScores:
    """Scores of words on every held-out image: those of the concepts, of the control words, and of captions."""

    tops: Ranked
    concepts: Float[np.ndarray, "n k"]
    captions: Float[np.ndarray, " n"]
    random: Float[np.ndarray, "n n_random"]
    matched: Float[np.ndarray, "n k n_matched"]
    noise: tuple[Ranked, Float[np.ndarray, "n k_noise"]] | None

    @classmethod
    def of(
        cls,
        measure: Measure,
        lists: Sequence[WordList],
        samples: Sequence[Sample],
        V: Float[np.ndarray, "n k"],
        controls: Controls,
    ) -> _ImageScores:
        shape = (len(samples), len(lists))
        n_words = max((len(words) for words in lists), default=0)
        matched, noise = controls.matched, controls.noise
        frequent = measure.words(samples, [words for mine in matched for words in mine]) if matched else None
        return cls(
            ranked(V),
            measure.words(samples, lists),
            measure.captions(samples),
            measure.words(samples, [words[:n_words] for words in controls.random]),
            np.zeros((*shape, 0)) if frequent is None else frequent.reshape(*shape, -1),
            None if noise is None else (ranked(noise.V), measure.words(samples, noise.words)),
        )

    def scored(self, m: int, seed: int) -> Scored:
        """The score of the `m` most active concepts, and its controls."""
        rng = np.random.default_rng([seed, m])
        observed = self.tops.top(self.concepts, m)
        against: dict[ControlName, Contrast] = {"random": _simulated(observed, partial(self._random, m, rng), seed)}
        if self.matched.shape[2]:
            against["frequency"] = _simulated(observed, partial(self._frequent, m, rng), seed)
        against["shuffled"] = _simulated(observed, partial(self._shuffled, m, rng), seed)
        if self.noise is not None:
            tops, scores = self.noise
            against["noise"] = _paired(observed, tops.top(scores, m), seed)
        against["captions"] = _paired(observed, self.captions, seed)
        return Scored(estimate(observed, seed), against, tuple(map(float, observed)))

    def _random(self, m: int, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
        picks = rng.integers(0, self.random.shape[1], self.concepts.shape[1])
        return self.tops.top(self.random[:, picks], m)

    def _frequent(self, m: int, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
        k = self.concepts.shape[1]
        picks = rng.integers(0, self.matched.shape[2], k)
        return self.tops.top(self.matched[:, np.arange(k), picks], m)

    def _shuffled(self, m: int, rng: np.random.Generator) -> Float[np.ndarray, " n"]:
        return self.tops.top(self.concepts, m, rng.permutation(len(self.concepts)))


def _simulated(observed: Float[np.ndarray, " n"], draw: Callable[[], Float[np.ndarray, " n"]], seed: int) -> Contrast:
    """Against a control that is drawn `IMAGE_DRAWS` times.

    The standard deviation of the level is the mean of those over images within each draw, so that it is comparable
    with that of the score.
    """
    null, deviations = np.zeros(IMAGE_DRAWS), np.zeros(IMAGE_DRAWS)
    sums, counts = np.zeros(len(observed)), np.zeros(len(observed))
    for i in range(IMAGE_DRAWS):
        values = draw()
        here = ~np.isnan(values)
        null[i] = values[here].mean() if here.any() else np.nan
        deviations[i] = values[here].std() if here.any() else np.nan
        sums[here] += values[here]
        counts += here
    each = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    level = estimate(each, seed)
    level = Estimate(level.mean, nanmean(deviations), level.low, level.high, level.n)
    return Contrast(level, estimate(observed - each, seed), exceeded(nanmean(observed), null))
