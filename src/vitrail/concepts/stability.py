"""Whether concepts come back: learned again from other starts, and from other samples of the same population.

The stability of a concept is its cosine with the concept it is matched to in another run, one to one and best in sum
(Hungarian method), mean over runs. A method without randomness has 1 over seeds. A bootstrap resample draws as many
samples as there are, with replacement: what only a few samples support does not come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.base import clone

from vitrail.learners import Learner
from vitrail.progress import Progress, silent
from vitrail.scores import cosines, matched_cosine, unit

_ROUNDS = 50  # of matching and averaging, before a consensus that still moves is taken as it is


@dataclass(frozen=True)
class Stability:
    """The stability of every concept (n_concepts,), over seeds and over resamples, and the concepts of the other runs:
    first those of the other seeds, then those of the resamples."""

    seeds: np.ndarray
    resamples: np.ndarray
    runs: tuple[np.ndarray, ...]

    @property
    def other_seeds(self) -> tuple[np.ndarray, ...]:
        return self.runs[: len(self.runs) // 2]


def stability(learner: Learner, Z: np.ndarray, *, n_runs: int = 4, progress: Progress = silent) -> Stability:
    """The stability of the concepts of a `learner` that was fitted to `Z` (n_samples, n_features).

    It is fitted again with `n_runs` other seeds, and with its own seed to `n_runs` bootstrap resamples of `Z`. Where
    the learner's activations are signed, a concept and its opposite are the same.
    """
    runs: list[np.ndarray] = []
    own = learner.get_params().get("random_state") or 0
    rng = np.random.default_rng(own)

    def again(rows: np.ndarray, seed: int) -> np.ndarray:
        other = clone(learner)
        if "random_state" in other.get_params():
            other.set_params(random_state=seed)
        runs.append(other.fit(rows).components_)
        progress("stability", len(runs), 2 * n_runs)
        return matched_cosine(learner.components_, runs[-1], learner.signed)

    seeds = np.mean([again(Z, own + 1 + i) for i in range(n_runs)], axis=0)
    resamples = np.mean([again(Z[rng.integers(len(Z), size=len(Z))], own) for _ in range(n_runs)], axis=0)
    return Stability(seeds, resamples, tuple(runs))


def consensus(dictionaries: Sequence[np.ndarray]) -> np.ndarray:
    """What several dictionaries (n_concepts, n_features) agree on: means of matched concepts, of norm 1.

    All are matched to the first, whose order stays, and then again to the means, until these rest.
    """
    centre = unit(dictionaries[0])
    for _ in range(_ROUNDS):
        before = centre
        matched = [unit(U)[linear_sum_assignment(-cosines(before, U))[1]] for U in dictionaries]
        centre = unit(np.mean(matched, axis=0))
        if np.abs(centre - before).max() < 1e-9:
            break
    return centre.astype(dictionaries[0].dtype)
