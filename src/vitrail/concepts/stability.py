"""Stability: whether the same concepts are found again, with other seeds and from other samples.

The stability of a concept is its cosine with its partner in another run, averaged over runs. Partners are matched one
to one, so that the sum of the cosines is largest (Hungarian method). A method without randomness has stability 1 over
seeds. A bootstrap resample draws as many samples as there are, with replacement: a concept that only few samples
support is not found again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone

from vitrail.learners import ArrayRows, Learner, count_different
from vitrail.progress import Progress, silent
from vitrail.scores import cosines, matched_cosine, unit

_ROUNDS = 50  # of matching and averaging, at most


@dataclass(frozen=True)
class Stability:
    """The stability of every concept.

    Args:
        seeds: over other seeds.
        resamples: over bootstrap resamples of the samples.
        runs: the concepts of the other runs: first those of the other seeds, then those of the resamples.
    """

    seeds: Float[np.ndarray, " k"]
    resamples: Float[np.ndarray, " k"]
    runs: tuple[Real[np.ndarray, "k d"], ...]

    @property
    def other_seeds(self) -> tuple[Real[np.ndarray, "k d"], ...]:
        """The concepts of the runs with other seeds."""
        return self.runs[: len(self.runs) // 2]


def stability(
    learner: Learner, Z: Real[np.ndarray, "n d"], *, n_runs: int = 4, progress: Progress = silent
) -> Stability:
    """The stability of the concepts of a fitted learner.

    Copies of it are fitted with `n_runs` other seeds, and with its own seed to `n_runs` bootstrap resamples. If its
    activations are signed, a concept and its opposite are the same.

    Args:
        learner: the learner, fitted to `Z`.
        Z: the states.
        n_runs: how many other seeds, and how many resamples.
        progress: is told of every run.
    """
    runs: list[np.ndarray] = []
    own = learner.get_params().get("random_state") or 0
    rng = np.random.default_rng(own)

    def again(rows: Real[np.ndarray, "n d"], seed: int) -> Float[np.ndarray, " k"]:
        other = clone(learner)
        if "random_state" in other.get_params():
            other.set_params(random_state=seed)
        runs.append(other.fit(rows).components_)
        progress("stability", len(runs), 2 * n_runs)
        return matched_cosine(learner.components_, runs[-1], learner.signed)

    seeds = np.mean([again(Z, own + 1 + i) for i in range(n_runs)], axis=0)
    resamples = np.mean([again(_resampled(Z, len(learner.components_), rng), own) for _ in range(n_runs)], axis=0)
    return Stability(seeds, resamples, tuple(runs))


def _resampled(Z: Real[np.ndarray, "n d"], k: int, rng: np.random.Generator) -> Real[np.ndarray, "n d"]:
    """As many rows as `Z` has, drawn with replacement. `k` different ones are among them, since fewer cannot give `k`
    concepts; if need be these are drawn first."""
    rows = Z[rng.integers(len(Z), size=len(Z))]
    if count_different(ArrayRows(rows), k) == k:
        return rows
    _, different = np.unique(Z, axis=0, return_index=True)
    return np.concatenate([Z[rng.choice(different, k, replace=False)], rows[k:]])


def consensus(dictionaries: Sequence[Real[np.ndarray, "k d"]]) -> Real[np.ndarray, "k d"]:
    """The mean of several dictionaries: means of matched concepts, of norm 1, in the order of the first dictionary.

    All are matched to the first, and then to the means, until these do not change any more.
    """
    centre = unit(dictionaries[0])
    for _ in range(_ROUNDS):
        before = centre
        matched = [unit(U)[linear_sum_assignment(-cosines(before, U))[1]] for U in dictionaries]
        centre = unit(np.mean(matched, axis=0))
        if np.abs(centre - before).max() < 1e-9:
            break
    return centre.astype(dictionaries[0].dtype)
