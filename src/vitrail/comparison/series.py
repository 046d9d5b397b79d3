"""Following a change: the same comparison at every layer, and at every checkpoint of a fine-tune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vitrail import learners, scores
from vitrail.activations import Activations
from vitrail.comparison.matching import match
from vitrail.comparison.pairs import align, check_alike
from vitrail.comparison.recovery import Target
from vitrail.comparison.shift_vectors import Estimator, consistency, magnitude, shifts
from vitrail.concepts import ordinary
from vitrail.grounding import GroundingOptions, word_reader
from vitrail.lmm import LMM
from vitrail.progress import Progress, silent


@dataclass(frozen=True)
class Point:
    """One comparison: at a layer, or at a step of a fine-tune; means are over concepts.

    `magnitude` is `‖Δ_k‖` over the mean norm of the states of *a* at that layer, so that layers can be compared.
    `correlation` is that of consistency with the cosine gain.
    """

    layer: int | str
    step: int | None
    n_samples: int
    consistency: scores.Estimate
    magnitude: scores.Estimate
    cosine_gain: scores.Estimate
    words_before: scores.Estimate
    words_after: scores.Estimate
    better: int
    worse: int
    correlation: scores.Correlation

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def by_layer(
    a: Activations,
    b: Activations,
    lmm: LMM,
    *,
    method: str = "kmeans",
    n_concepts: int = 20,
    n_words: int = 10,
    own_word: bool = False,
    language: str = "en",
    seed: int = 0,
    progress: Progress = silent,
) -> list[Point]:
    """A point for every layer that both have, concepts being learned at each; words are read by `lmm`, the later model,
    and are those that may stand for a concept as in `ground`.

    Raises as `compare`.
    """
    check_alike(a, b)
    layers = [layer for layer in a.layers if layer in b.layers]
    points = []
    for n, layer in enumerate(layers, 1):
        points.append(_point(a, b, layer, None, lmm, method, n_concepts, n_words, own_word, language, seed))
        progress("layers", n, len(layers))
    return points


def along(
    a: Activations,
    later: Mapping[int, Activations],
    lmm: LMM,
    *,
    layer: int | str,
    method: str = "kmeans",
    n_concepts: int = 20,
    n_words: int = 10,
    own_word: bool = False,
    language: str = "en",
    seed: int = 0,
    progress: Progress = silent,
) -> list[Point]:
    """A point for every checkpoint, step → activations, against the model as it was; the concepts of *a* are the same
    at each. Words are read by `lmm`, whose norm and `W_U` the fine-tune must have left alone, as ours does.

    Raises as `compare`.
    """
    points = []
    for n, step in enumerate(sorted(later), 1):
        check_alike(a, later[step])
        points.append(_point(a, later[step], layer, step, lmm, method, n_concepts, n_words, own_word, language, seed))
        progress("steps", n, len(later))
    return points


def _point(
    a: Activations, b: Activations, layer: int | str, step: int | None, lmm: LMM, method: str, n_concepts: int,
    n_words: int, own_word: bool, language: str, seed: int,
) -> Point:  # fmt: skip
    reader = word_reader(lmm, a, layer, GroundingOptions(n_words, own_word=own_word, language=language))
    Z_a, Z_b, pairs = a.states(layer), b.states(layer), align(a, b)
    pairs = pairs.only(ordinary(Z_a)[pairs.a] & ordinary(Z_b)[pairs.b])
    A, B = Z_a[pairs.a], Z_b[pairs.b]
    D = B.astype(np.float64) - A
    before, after = (learners.make_learner(method, n_concepts, seed=seed).fit(Z) for Z in (Z_a[ordinary(Z_a)], B))
    V = np.asarray(before.transform(A))
    U = before.components_.astype(np.float64)
    estimate: Estimator = "mean" if before.prototypes else "codes"

    later = after.components_.astype(np.float64)
    target = Target(match(scores.cosines(U, later), "one-to-one"), later, reader.words(later), [[] for _ in later])
    shifted = U + shifts(D, V, estimate)
    words_before, words_after = target.t_overlaps(reader.words(U)), target.t_overlaps(reader.words(shifted))
    gain = (target.cosine(shifted) - target.cosine(U)) / target.cosine(U)
    steady = consistency(D, V)
    return Point(
        layer=layer,
        step=step,
        n_samples=len(pairs),
        consistency=scores.estimate(steady, seed=seed),
        magnitude=scores.estimate(magnitude(D, V) / np.linalg.norm(A, axis=1).mean(), seed=seed),
        cosine_gain=scores.estimate(gain, seed=seed),
        words_before=scores.estimate(words_before, seed=seed),
        words_after=scores.estimate(words_after, seed=seed),
        better=int((words_after > words_before).sum()),
        worse=int((words_after < words_before).sum()),
        correlation=scores.correlation(steady, gain),
    )
