"""The two protocols of CoX-LMM (Parekh et al. 2024, section 4), with controls, intervals and p-values.

(a) concepts: the words `T_k` of a concept against its own most activating images (or their captions), mean over them;
(b) images: the words of the 1, 3, 5 most active concepts of a held-out image against that image, mean over them.

A control is what the same figure is when one thing is taken away:

| control | what is taken away |
|---|---|
| `random` | the words are those of random directions, as many, through the same filter |
| `frequency` | the words are others, as frequent in the captions |
| `shuffled` | the words stay, the images are another concept's (a), or the activations another image's (b) |
| `noise` | the whole dictionary is that of noise images, same texts, same positions |
| `captions` | the upper mark: what people wrote |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vitrail.evaluation.measures import Measure, WordList
from vitrail.samples import Sample
from vitrail.scores import Estimate, corrected, estimate, exceeded, paired_p, unpaired_gain, unpaired_p

#: Draws of the null of random words, matched words, shuffled images.
DRAWS = 2000
TOPS = (1, 3, 5)


@dataclass(frozen=True)
class Against:
    """A score against one control: `level` is the control's, `gain` the difference per unit, with its interval.

    `p` is how likely a gain as large is by chance: from draws of the control for random, matched and shuffled (one
    sided), by changes of sign of the differences for the others (two sided). The concepts of noise images are others,
    so in (a) theirs is the difference of two means, and its p from regrouping.
    """

    level: Estimate
    gain: Estimate
    p: float


@dataclass(frozen=True)
class Scored:
    """A figure, its controls, and what it is made of: one value per concept (a), or per image (b).

    `unit_p` and `unit_q` are p-values against random words per concept and their correction for K tests; empty in (b).
    """

    score: Estimate
    against: dict[str, Against]
    units: tuple[float, ...]
    unit_random: tuple[float, ...] = ()
    unit_p: tuple[float, ...] = ()
    unit_q: tuple[float, ...] = ()


def mean_over(scores: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """(n_groups, …): the mean of the rows of each group; NaN for an empty one, and where a row is NaN."""
    shape = (len(groups), *scores.shape[1:])
    means = [scores[list(g)].mean(axis=0) if g else np.full(shape[1:], np.nan) for g in groups]
    return np.array(means, dtype=float).reshape(shape)


def nanmean(values: np.ndarray) -> float:
    """The mean of what is there; NaN for nothing."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def score_concepts(
    measure: Measure,
    lists: Sequence[WordList],
    own: Sequence[Sequence[Sample]],
    random: Sequence[WordList],
    matched: Sequence[Sequence[WordList]],
    noise: tuple[Sequence[WordList], Sequence[Sequence[Sample]]] | None = None,
    seed: int = 0,
) -> Scored:
    """Protocol (a).

    Args:
        lists: the words of each concept.
        own: the most activating samples of each concept.
        random: a pool of lists of random words, at least as long; each concept takes as many words as it has itself.
        matched: for each concept lists of words as frequent as its own, for each as many lists, or none at all.
        noise: the words of the concepts of noise images, and for each the samples whose noise activates it most.
    """
    samples, groups = _grouped(own)
    k = len(lists)
    rng = np.random.default_rng(seed)
    crossed = mean_over(measure.words(samples, lists), groups)  # images of concept k (row) with words of concept l
    observed = np.diag(crossed).copy()
    pool = _by_length(measure, samples, lists, random, groups)
    frequent = mean_over(measure.words(samples, [words for mine in matched for words in mine]), groups)
    frequent = frequent.reshape(k, k, -1)[np.arange(k), np.arange(k)] if matched else np.zeros((k, 0))
    captions = mean_over(measure.captions(samples), groups)
    against = {"random": _drawn(observed, pool, rng, seed), "frequency": _drawn(observed, frequent, rng, seed)}
    rows = np.arange(k)
    orders = np.array([rng.permutation(k) for _ in range(DRAWS)])
    null = np.array([nanmean(crossed[rows, order]) for order in orders])
    other = np.where(np.eye(k, dtype=bool), np.nan, crossed)
    shuffled = np.array([nanmean(row) for row in other])
    if k > 1:
        p = exceeded(nanmean(observed), null)
        against["shuffled"] = Against(estimate(shuffled, seed), estimate(observed - shuffled, seed), p)
    if noise is not None:
        noisy_samples, noisy_groups = _grouped(noise[1])
        noisy = np.diag(mean_over(measure.words(noisy_samples, noise[0]), noisy_groups))
        gain, p = unpaired_gain(observed, noisy, seed), unpaired_p(observed, noisy, seed=seed)
        against["noise"] = Against(estimate(noisy, seed), gain, p)
    against["captions"] = _paired(observed, captions, seed)
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
    """All samples of `own`, each once, and for every concept the numbers of its own among them."""
    union = {sample.id: sample for mine in own for sample in mine}
    number = {name: i for i, name in enumerate(union)}
    return list(union.values()), [[number[s.id] for s in mine] for mine in own]


def _by_length(
    measure: Measure,
    samples: Sequence[Sample],
    lists: Sequence[WordList],
    random: Sequence[WordList],
    groups: Sequence[Sequence[int]],
) -> np.ndarray:
    """(n_concepts, n_random): what random words as many as a concept's reach on its images."""
    result = np.full((len(lists), len(random)), np.nan)
    for n in {len(words) for words in lists if words}:
        means = mean_over(measure.words(samples, [words[:n] for words in random]), groups)
        for i, words in enumerate(lists):
            if len(words) == n:
                result[i] = means[i]
    return result


def _drawn(observed: np.ndarray, pool: np.ndarray, rng: np.random.Generator, seed: int) -> Against:
    """Against control words: one list of the pool (n_units, n_lists) drawn for each unit, `DRAWS` times over."""
    level = np.array([nanmean(row) for row in pool])
    if not pool.shape[1]:
        return Against(estimate(level), estimate(observed - level), float("nan"))
    picks = rng.integers(0, pool.shape[1], (DRAWS, len(pool)))
    null = np.array([nanmean(pool[np.arange(len(pool)), pick]) for pick in picks])
    return Against(estimate(level, seed), estimate(observed - level, seed), exceeded(nanmean(observed), null))


def _paired(observed: np.ndarray, other: np.ndarray, seed: int) -> Against:
    return Against(estimate(other, seed), estimate(observed - other, seed), paired_p(observed, other, seed=seed))


# ---- (b) -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranked:
    """The most active concepts of each image: `order` (n, m) numbers, `active` (n, m) whether they are active at all.

    As released, the largest activations count, not the largest in absolute value: words are those of `+u_k`. A concept
    whose activation is not positive has nothing to say of the image, and is left out.
    """

    order: np.ndarray
    active: np.ndarray

    def top(self, scores: np.ndarray, m: int, shift: np.ndarray | None = None) -> np.ndarray:
        """(n,) mean score of the `m` most active concepts of each image; NaN for an image without any.

        `scores` (n, n_concepts); `shift` (n,) gives every image the concepts of another.
        """
        order, active = self.order[:, :m], self.active[:, :m]
        if shift is not None:
            order, active = order[shift], active[shift]
        found = np.where(active, np.take_along_axis(scores, order, axis=1), np.nan)
        counts = (~np.isnan(found)).sum(axis=1)
        return np.where(counts > 0, np.nansum(found, axis=1) / np.maximum(counts, 1), np.nan)


def ranked(V: np.ndarray, m: int = max(TOPS)) -> Ranked:
    """The `m` most active concepts of every row of `V` (n, n_concepts), ties by number."""
    order = np.argsort(-V, axis=1, kind="stable")[:, :m]
    return Ranked(order, np.take_along_axis(V, order, axis=1) > 0)


def score_images(
    measure: Measure,
    lists: Sequence[WordList],
    samples: Sequence[Sample],
    V: np.ndarray,
    random: Sequence[WordList],
    matched: Sequence[Sequence[WordList]],
    noise: tuple[Sequence[WordList], np.ndarray] | None = None,
    seed: int = 0,
) -> dict[int, Scored]:
    """Protocol (b), for each number of concepts of `TOPS`.

    Args:
        lists: the words of each concept.
        samples: held-out samples; `V` (n_samples, n_concepts) their activations.
        random: a pool of lists of random words.
        matched: for each concept lists of words as frequent as its own, for each as many lists, or none at all.
        noise: the words of the dictionary of noise images, and the activations of `samples` in it.
    """
    tops = ranked(V)
    scores = measure.words(samples, lists)
    captions = measure.captions(samples)
    n_words = max((len(words) for words in lists), default=0)
    pool = measure.words(samples, [words[:n_words] for words in random])
    frequent = measure.words(samples, [words for mine in matched for words in mine])
    frequent = frequent.reshape(len(samples), len(lists), -1) if matched else np.zeros((len(samples), len(lists), 0))
    noisy = None if noise is None else (ranked(noise[1]), measure.words(samples, noise[0]))
    found = {}
    for m in TOPS:
        if m > len(lists):
            continue
        rng = np.random.default_rng([seed, m])
        observed = tops.top(scores, m)
        against = {}

        def of_random(rng: np.random.Generator = rng, m: int = m) -> np.ndarray:
            return tops.top(pool[:, rng.integers(0, pool.shape[1], len(lists))], m)

        def of_frequent(rng: np.random.Generator = rng, m: int = m) -> np.ndarray:
            picks = rng.integers(0, frequent.shape[2], len(lists))
            return tops.top(frequent[:, np.arange(len(lists)), picks], m)

        def of_others(rng: np.random.Generator = rng, m: int = m) -> np.ndarray:
            return tops.top(scores, m, rng.permutation(len(samples)))

        against["random"] = _simulated(observed, of_random, seed)
        if frequent.shape[2]:
            against["frequency"] = _simulated(observed, of_frequent, seed)
        against["shuffled"] = _simulated(observed, of_others, seed)
        if noisy is not None:
            against["noise"] = _paired(observed, noisy[0].top(noisy[1], m), seed)
        against["captions"] = _paired(observed, captions, seed)
        found[m] = Scored(estimate(observed, seed), against, tuple(map(float, observed)))
    return found


def _simulated(observed: np.ndarray, draw: Callable[[], np.ndarray], seed: int, draws: int = 1000) -> Against:
    """Against a control that is drawn anew `draws` times.

    The level's deviation is that over images within a draw, as a single draw has it, on average.
    """
    null, deviations = np.zeros(draws), np.zeros(draws)
    sums, counts = np.zeros(len(observed)), np.zeros(len(observed))
    for i in range(draws):
        values = draw()
        here = ~np.isnan(values)
        null[i] = values[here].mean() if here.any() else np.nan
        deviations[i] = values[here].std() if here.any() else np.nan
        sums[here] += values[here]
        counts += here
    each = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    level = estimate(each, seed)
    level = Estimate(level.mean, nanmean(deviations), level.low, level.high, level.n)
    return Against(level, estimate(observed - each, seed), exceeded(nanmean(observed), null))
