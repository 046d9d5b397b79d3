"""Recovery: how far shifts bring the concepts of *a* to their matches in *b*, and how far controls do.

Nothing here knows a model: `ShiftTrial.words_of` reads the words of any directions, as model *b* does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from vitrail import scores
from vitrail.comparison.matching import t_overlap
from vitrail.comparison.shift_vectors import ShiftEstimator, n_members, shifts
from vitrail.grounding import most_activating

#: (K, d) → the words of each row.
WordsOf = Callable[[np.ndarray], list[list[str]]]
ALPHAS = tuple(np.round(np.linspace(-1, 2, 13), 2).tolist())


@dataclass(frozen=True)
class Target:
    """The concepts of *b* that the `k_a` concepts of *a* should become.

    Args:
        match: the concept of *b* for each concept of *a*; −1 for none.
        U: concepts of *b*, with their `words` and `images` (places of their most activating samples).
    """

    match: Int[np.ndarray, " k_a"]
    U: Float[np.ndarray, "k_b d"]
    words: Sequence[Sequence[str]]
    images: Sequence[Sequence[int]]

    def t_overlaps(self, words: Sequence[Sequence[str]]) -> Float[np.ndarray, " k_a"]:
        """T-Overlap of each concept's words with those of its match, in percent; NaN without a match."""
        return np.array(
            [t_overlap(w, self.words[j]) if j >= 0 else np.nan for w, j in zip(words, self.match, strict=True)]
        )

    def image_overlaps(self, images: Sequence[Sequence[int]]) -> Float[np.ndarray, " k_a"]:
        """The share of the match's most activating samples that the concept shares, in percent; NaN without a match."""
        return np.array(
            [
                100.0 * len({*mine} & {*self.images[j]}) / len(self.images[j]) if j >= 0 and self.images[j] else np.nan
                for mine, j in zip(images, self.match, strict=True)
            ]
        )

    def cosine(self, U: Float[np.ndarray, "k_a d"]) -> Float[np.ndarray, " k_a"]:
        """The cosine of each row of `U` with its match; NaN without one."""
        C = scores.cosines(U, self.U)
        return np.array([C[k, j] if j >= 0 else np.nan for k, j in enumerate(self.match)])


@dataclass(frozen=True)
class Moves:
    """How `n` samples moved from *a* to *b*.

    Args:
        D: their moves `B − A`.
        V: their activations in *a*.
        strength: the same, comparable between concepts: they decide which concept a sample belongs to.
        mean: the move of the mean where it is a row of its own: no concept's part in a move; else zeros.
    """

    D: Float[np.ndarray, "n d"]
    V: Float[np.ndarray, "n k"]
    strength: Float[np.ndarray, "n k"]
    mean: Float[np.ndarray, " d"]

    def on(self, samples: Int[np.ndarray, " m"]) -> Moves:
        """The moves of these samples alone; one may occur several times."""
        return Moves(self.D[samples], self.V[samples], self.strength[samples], self.mean)


@dataclass(frozen=True)
class ShiftTrial:
    """Concepts of *a*, how their samples moved, and the concepts that they should become.

    Args:
        U: concepts of *a*.
        moves: of the samples.
        target: what the concepts should become.
        words_of: reads the words of directions, as model *b* does.
        estimator: makes shifts from the moves; see `shift_vectors.shifts`.
    """

    U: Float[np.ndarray, "k d"]
    moves: Moves
    target: Target
    words_of: WordsOf
    estimator: ShiftEstimator

    def shifts(self) -> Float[np.ndarray, "k d"]:
        """The shift `Δ_k` of every concept."""
        moves = self.moves
        if self.estimator == "codes":
            return shifts(moves.D - moves.mean, moves.V, "codes")
        return shifts(moves.D, moves.strength, self.estimator)

    def on(self, samples: Int[np.ndarray, " m"]) -> ShiftTrial:
        """The same trial with these samples alone; one may occur several times."""
        return replace(self, moves=self.moves.on(samples))

    def t_overlaps(self, moves: Float[np.ndarray, "k d"]) -> Float[np.ndarray, " k"]:
        """T-Overlap of each concept with its match, in percent, after it was moved by `moves`."""
        return self.target.t_overlaps(self.words_of(self.U + moves))


@dataclass(frozen=True)
class Counts:
    """How many concepts a shift brought nearer to their match in words, left where they were, and took away from it."""

    better: int
    equal: int
    worse: int


@dataclass(frozen=True)
class RecoverySummary:
    """Means over the concepts with a match: T-Overlaps and shared images in percent, cosines.

    `p` is the one-sided p-value of T-Overlaps being larger after the shift than before (random signs of the concepts'
    differences).
    """

    words_before: scores.Estimate
    words_after: scores.Estimate
    words_gain: scores.Estimate
    p: float
    counts: Counts
    images_before: scores.Estimate
    images_after: scores.Estimate
    cosine_before: scores.Estimate
    cosine_after: scores.Estimate
    cosine_gain: scores.Estimate


@dataclass(frozen=True)
class Recovery:
    """Before and after the shift, one value per concept of *a*; NaN without a match.

    Args:
        words_before: T-Overlap with the match, in percent; `words_after` is that after the shift.
        images_before: share of the match's most activating samples, in percent; `images_after` likewise.
        cosine_before: cosine with the match; `cosine_after` likewise.
        interval: 95 % bootstrap interval, over the samples, of `words_after`.
        shifted_words: words of the shifted concepts `u^s`.
    """

    words_before: Float[np.ndarray, " k"]
    words_after: Float[np.ndarray, " k"]
    images_before: Float[np.ndarray, " k"]
    images_after: Float[np.ndarray, " k"]
    cosine_before: Float[np.ndarray, " k"]
    cosine_after: Float[np.ndarray, " k"]
    interval: Float[np.ndarray, "k 2"]
    shifted_words: list[list[str]]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Recovery:
        """The recovery whose JSON values (`artifacts.plain`) these are."""
        arrays = {name: np.array(value, float) for name, value in values.items() if name != "shifted_words"}
        return cls(**arrays, shifted_words=values["shifted_words"])

    @property
    def words_gain(self) -> Float[np.ndarray, " k"]:
        return self.words_after - self.words_before

    @property
    def cosine_gain(self) -> Float[np.ndarray, " k"]:
        """`(cos(u^s, u^b) − cos(u^a, u^b)) / cos(u^a, u^b)`."""
        return (self.cosine_after - self.cosine_before) / self.cosine_before

    @property
    def counts(self) -> Counts:
        gain = self.words_gain
        return Counts(int((gain > 0).sum()), int((gain == 0).sum()), int((gain < 0).sum()))

    def summary(self, seed: int = 0) -> RecoverySummary:
        """The means over the concepts; `seed` draws their bootstrap intervals."""

        def mean(values: np.ndarray) -> scores.Estimate:
            return scores.estimate(values, seed=seed)

        return RecoverySummary(
            mean(self.words_before),
            mean(self.words_after),
            mean(self.words_gain),
            scores.paired_p(self.words_after, self.words_before, alternative="greater", seed=seed),
            self.counts,
            mean(self.images_before),
            mean(self.images_after),
            mean(self.cosine_before),
            mean(self.cosine_after),
            mean(self.cosine_gain),
        )


def recover(
    trial: ShiftTrial,
    activations_of: Callable[[np.ndarray], np.ndarray],
    images_before: Sequence[Sequence[int]],
    *,
    alpha: float = 1.0,
    n_images: int = 5,
    resamples: int = 200,
    seed: int = 0,
) -> Recovery:
    """The concepts of *a* against their matches in *b*, as they are and shifted by `alpha` times their shifts.

    Args:
        activations_of: concepts (K, d) → what the samples' states in *b* would activate, (n, K).
        images_before: places of the most activating samples in *a*, for each concept.
        n_images: most activating samples of a shifted concept.
        resamples: of the samples, for the intervals; 0 for none.
    """
    moves = alpha * trial.shifts()
    shifted, target = trial.U + moves, trial.target
    words = trial.words_of(shifted)
    images = [most_activating(column, n_images) for column in activations_of(shifted).T]
    return Recovery(
        words_before=trial.t_overlaps(np.zeros_like(moves)),
        words_after=target.t_overlaps(words),
        images_before=target.image_overlaps(images_before),
        images_after=target.image_overlaps(images),
        cosine_before=target.cosine(trial.U),
        cosine_after=target.cosine(shifted),
        interval=_interval(trial, alpha, resamples, seed),
        shifted_words=words,
    )


def _interval(trial: ShiftTrial, alpha: float, resamples: int, seed: int) -> np.ndarray:
    """(K, 2): quantiles of the T-Overlap after the shift over resamples of the samples."""
    if not resamples:
        return np.full((len(trial.U), 2), np.nan)
    rng, n = np.random.default_rng(seed), len(trial.moves.D)
    drawn = [trial.t_overlaps(alpha * trial.on(rng.integers(n, size=n)).shifts()) for _ in range(resamples)]
    return np.quantile(np.array(drawn), [0.025, 0.975], axis=0).T


@dataclass(frozen=True)
class Control:
    """What a move other than the concepts' own shifts achieves.

    Args:
        words_after: mean T-Overlap over the concepts, in percent; `per_concept` are the means over the control's draws.
        p: one-sided p-value of the own shift being better (random signs of the concepts' differences).
    """

    name: str
    words_after: scores.Estimate
    per_concept: tuple[float, ...]
    p: float


def controls(
    trial: ShiftTrial,
    words_after: Float[np.ndarray, " k"],
    *,
    alpha: float = 1.0,
    draws: int = 50,
    seed: int = 0,
) -> tuple[Control, ...]:
    """What three other moves achieve: the shift of another concept (every other one in turn), a random direction of the
    same norm (`draws` of them), and the mean move of all samples.

    For "codes" the mean move has the norm of the concept's own shift, since an atom's shift is measured in units of
    the atom.

    Args:
        words_after: T-Overlaps after the concepts' own shifts, in percent.
    """
    own = alpha * trial.shifts()
    norms = np.linalg.norm(own, axis=1, keepdims=True)
    everyone = np.tile(alpha * np.asarray(trial.moves.D, np.float64).mean(0), (len(own), 1))
    if trial.estimator == "codes":
        everyone *= norms / np.maximum(np.linalg.norm(everyone, axis=1, keepdims=True), np.finfo(float).tiny)
    random = np.random.default_rng(seed).normal(size=(draws, *own.shape))
    random *= norms / np.linalg.norm(random, axis=2, keepdims=True)

    def achieved(moves: Iterable[np.ndarray]) -> np.ndarray:
        return np.mean([trial.t_overlaps(move) for move in moves], axis=0)

    found = {
        "another concept's shift": _mean_of_others(trial, own),
        "a random direction of the same norm": achieved(random),
        "the mean move of all samples": achieved([everyone]),
    }
    return tuple(
        Control(
            name,
            scores.estimate(values),
            tuple(values.tolist()),
            scores.paired_p(words_after, values, alternative="greater", seed=seed),
        )
        for name, values in found.items()
    )


def _mean_of_others(trial: ShiftTrial, own: np.ndarray) -> np.ndarray:
    """(K,): the mean T-Overlap over the shifts of all other concepts that have samples."""
    K, has_samples = len(own), n_members(trial.moves.strength) > 0
    total, n = np.zeros(K), np.zeros(K)
    for turn in range(1, K):
        order = np.roll(np.arange(K), -turn)
        total += np.where(has_samples[order], trial.t_overlaps(own[order]), 0.0)
        n += has_samples[order]
    return total / np.where(n > 0, n, np.nan)


@dataclass(frozen=True)
class AlphaCurve:
    """Mean T-Overlap over α, in percent, with the shifts of either half of the samples.

    Args:
        alphas: values of α.
        chosen_on: the curve of the half on which the best α is chosen; `reported_on` is that of the other half.
        best: the best α on the first half.
        at_best: what it gives on the other half, beside α = 0 (`at_zero`) and α = 1 (`at_one`).
    """

    alphas: tuple[float, ...]
    chosen_on: tuple[float, ...]
    reported_on: tuple[float, ...]
    best: float
    at_best: scores.Estimate
    at_zero: scores.Estimate
    at_one: scores.Estimate


def alpha_curve(trial: ShiftTrial, *, alphas: Sequence[float] = ALPHAS, seed: int = 0) -> AlphaCurve:
    """Chooses α on a random half of the samples and reports it on the other; of equal α the one nearest to 1."""
    order = np.random.default_rng(seed).permutation(len(trial.moves.D))
    grid = sorted({*alphas, 0.0, 1.0})
    halves = []
    for samples in (order[: len(order) // 2], order[len(order) // 2 :]):
        moves = trial.on(samples).shifts()
        halves.append({a: trial.t_overlaps(a * moves) for a in grid})
    chosen, reported = ({a: float(np.nanmean(values)) for a, values in half.items()} for half in halves)
    best = max(grid, key=lambda a: (round(chosen[a], 9), -abs(a - 1)))
    at_best, at_zero, at_one = (scores.estimate(halves[1][a], seed=seed) for a in (best, 0.0, 1.0))
    return AlphaCurve(tuple(grid), tuple(chosen.values()), tuple(reported.values()), best, at_best, at_zero, at_one)
