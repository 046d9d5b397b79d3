"""Recovery: how far shifts bring the concepts of *a* to their matches in *b*, and what would have done as well.

Nothing here knows a model: `words_of` says the words of any concepts, as model *b* reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vitrail import scores
from vitrail.comparison.matching import t_overlap
from vitrail.comparison.shift_vectors import Estimator, shifts, sizes
from vitrail.grounding import most_activating

#: (K, d) → the words of each row.
WordsOf = Callable[[np.ndarray], list[list[str]]]
#: (K, d) → (n, K): what the samples of *b* activate, were these the concepts.
ActivationsOf = Callable[[np.ndarray], np.ndarray]
ALPHAS = tuple(np.round(np.linspace(-1, 2, 13), 2).tolist())


@dataclass(frozen=True)
class Target:
    """What concepts of *a* are to become: their matches in *b*, in words, images and directions; −1 has none."""

    match: np.ndarray
    U: np.ndarray
    words: Sequence[Sequence[str]]
    images: Sequence[Sequence[int]]

    def t_overlaps(self, words: Sequence[Sequence[str]]) -> np.ndarray:
        """(K,) in percent: T-Overlap of each concept's words with those of its match; NaN without a match."""
        return np.array(
            [t_overlap(w, self.words[j]) if j >= 0 else np.nan for w, j in zip(words, self.match, strict=True)]
        )

    def image_overlaps(self, images: Sequence[Sequence[int]]) -> np.ndarray:
        """(K,) in percent: the share of the match's most activating samples that the concept has, too."""
        return np.array(
            [
                100.0 * len({*mine} & {*self.images[j]}) / len(self.images[j]) if j >= 0 and self.images[j] else np.nan
                for mine, j in zip(images, self.match, strict=True)
            ]
        )

    def cosine(self, U: np.ndarray) -> np.ndarray:
        """(K,): the cosine of each row of `U` with its match; NaN without one."""
        C = scores.cosines(U, self.U)
        return np.array([C[k, j] if j >= 0 else np.nan for k, j in enumerate(self.match)])


@dataclass(frozen=True)
class Recovery:
    """Before and after the shift, one value per concept of *a* (K,); NaN without a match.

    `words_*` are T-Overlaps and `images_*` overlaps of the most activating samples, in percent; `cosine_gain` is
    `(cos(u^s, u^b) − cos(u^a, u^b)) / cos(u^a, u^b)`. `interval` (K, 2) is the 95 % bootstrap interval, over the
    samples, of the T-Overlap after. `shifted_words` are the words of `u^s`.
    """

    words_before: np.ndarray
    words_after: np.ndarray
    images_before: np.ndarray
    images_after: np.ndarray
    cosine_before: np.ndarray
    cosine_after: np.ndarray
    interval: np.ndarray
    shifted_words: list[list[str]]

    @property
    def cosine_gain(self) -> np.ndarray:
        return (self.cosine_after - self.cosine_before) / self.cosine_before

    @property
    def counts(self) -> dict[str, int]:
        """How many concepts the shift brought nearer to their match in words, left, and took away from it."""
        gain = self.words_after - self.words_before
        return {"better": int((gain > 0).sum()), "equal": int((gain == 0).sum()), "worse": int((gain < 0).sum())}


def recover(
    U: np.ndarray,
    D: np.ndarray,
    V: np.ndarray,
    target: Target,
    words_of: WordsOf,
    activations_of: ActivationsOf,
    *,
    estimate: Estimator,
    alpha: float = 1.0,
    n_images: int = 5,
    images_before: Sequence[Sequence[int]],
    resamples: int = 200,
    seed: int = 0,
) -> Recovery:
    """The concepts `U` (K, d) of *a* against their matches, as they are and shifted by `alpha` times their shifts.

    Args:
        D: moves (n, d) of the samples; `V` (n, K) their activations in *a*.
        images_before: the most activating samples (places among the `n`) of `U` in *a*.
    """
    shifted = U + alpha * shifts(D, V, estimate)
    words = words_of(shifted)
    V_shifted = activations_of(shifted)
    images = [most_activating(column, n_images) for column in V_shifted.T]
    return Recovery(
        words_before=target.t_overlaps(words_of(U)),
        words_after=target.t_overlaps(words),
        images_before=target.image_overlaps(images_before),
        images_after=target.image_overlaps(images),
        cosine_before=target.cosine(U),
        cosine_after=target.cosine(shifted),
        interval=_interval(U, D, V, target, words_of, estimate, alpha, resamples, seed),
        shifted_words=words,
    )


def _interval(
    U: np.ndarray, D: np.ndarray, V: np.ndarray, target: Target, words_of: WordsOf, estimate: Estimator,
    alpha: float, resamples: int, seed: int,
) -> np.ndarray:  # fmt: skip
    """(K, 2): quantiles of the T-Overlap after the shift when the samples are drawn again."""
    if not resamples:
        return np.full((len(U), 2), np.nan)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        again = rng.integers(len(D), size=len(D))
        drawn.append(target.t_overlaps(words_of(U + alpha * shifts(D[again], V[again], estimate))))
    return np.quantile(np.array(drawn), [0.025, 0.975], axis=0).T


@dataclass(frozen=True)
class Control:
    """What something other than the concept's own shift achieves: (K,) T-Overlaps, averaged over its draws, and the
    one-sided p of the own shift being better (random signs of the concepts' differences)."""

    name: str
    words_after: np.ndarray
    p: float


def controls(
    U: np.ndarray,
    D: np.ndarray,
    V: np.ndarray,
    target: Target,
    words_of: WordsOf,
    words_after: np.ndarray,
    *,
    estimate: Estimator,
    alpha: float = 1.0,
    draws: int = 50,
    seed: int = 0,
) -> list[Control]:
    """Three of them: the shift of another concept (every other one in turn), a random direction of the same norm
    (`draws` of them), and the mean move of all samples (for "codes" at the norm of the concept's own shift, since an
    atom's move is measured in its own scale)."""
    own = alpha * shifts(D, V, estimate)
    K, rng = len(U), np.random.default_rng(seed)
    norms = np.linalg.norm(own, axis=1, keepdims=True)
    have = sizes(V) > 0
    others = [np.roll(np.arange(K), -turn) for turn in range(1, K)]
    everyone = np.tile(alpha * np.asarray(D, np.float64).mean(0), (K, 1))
    if estimate == "codes":
        everyone *= norms / np.maximum(np.linalg.norm(everyone, axis=1, keepdims=True), np.finfo(float).tiny)
    random = rng.normal(size=(draws, *U.shape))
    random *= norms / np.linalg.norm(random, axis=2, keepdims=True)

    def achieved(moves: Iterable[np.ndarray]) -> np.ndarray:
        return np.mean([target.t_overlaps(words_of(U + move)) for move in moves], axis=0)

    found = {
        "another concept's shift": _mean_of_others(target, words_of, U, own, others, have),
        "a random direction of the same norm": achieved(random),
        "the mean move of all samples": achieved([everyone]),
    }
    return [
        Control(name, values, scores.paired_p(words_after, values, alternative="greater", seed=seed))
        for name, values in found.items()
    ]


def _mean_of_others(
    target: Target, words_of: WordsOf, U: np.ndarray, own: np.ndarray, others: Sequence[np.ndarray], have: np.ndarray
) -> np.ndarray:
    """(K,): the mean over the other concepts that have a shift at all."""
    total, n = np.zeros(len(U)), np.zeros(len(U))
    for order in others:
        reached = target.t_overlaps(words_of(U + own[order]))
        total += np.where(have[order], reached, 0.0)
        n += have[order]
    return total / np.where(n > 0, n, np.nan)


@dataclass(frozen=True)
class Sweep:
    """Mean T-Overlap over α, with shifts of one half of the samples; the best α there, and what it gives with the
    shifts of the other half, beside α = 0 and α = 1."""

    alphas: tuple[float, ...]
    chosen_on: tuple[float, ...]
    reported_on: tuple[float, ...]
    best: float
    at_best: scores.Estimate
    at_zero: scores.Estimate
    at_one: scores.Estimate


def sweep(
    U: np.ndarray,
    D: np.ndarray,
    V: np.ndarray,
    target: Target,
    words_of: WordsOf,
    *,
    estimate: Estimator,
    alphas: Sequence[float] = ALPHAS,
    seed: int = 0,
) -> Sweep:
    """Finds α on a random half of the samples and reports it on the other; ties go to the α nearest to 1."""
    order = np.random.default_rng(seed).permutation(len(D))
    halves = order[: len(D) // 2], order[len(D) // 2 :]
    grid = sorted({*alphas, 0.0, 1.0})
    curves = []
    for half in halves:
        moves = shifts(D[half], V[half], estimate)
        curves.append({a: target.t_overlaps(words_of(U + a * moves)) for a in grid})
    first, second = ({a: float(np.nanmean(v)) for a, v in curve.items()} for curve in curves)
    best = max(grid, key=lambda a: (round(first[a], 9), -abs(a - 1)))
    at_best, at_zero, at_one = (scores.estimate(curves[1][a], seed=seed) for a in (best, 0.0, 1.0))
    return Sweep(
        tuple(grid), tuple(first.values()), tuple(second.values()), best, at_best, at_zero, at_one
    )  # fmt: skip
