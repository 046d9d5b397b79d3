"""Following a change: the same comparison at every layer, and at every checkpoint of a fine-tune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vitrail import learners
from vitrail.activations import Activations
from vitrail.compare.align import align, check_alike
from vitrail.compare.intervals import Correlation, Mean, correlation, mean_of
from vitrail.compare.match import match
from vitrail.compare.recovery import Target
from vitrail.compare.shift import Estimate, consistency, cosines, magnitude, shifts
from vitrail.concepts import ordinary
from vitrail.ground import allowed_words, top_words
from vitrail.learners.base import PrototypeLearner
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
    consistency: Mean
    magnitude: Mean
    cosine_gain: Mean
    words_before: Mean
    words_after: Mean
    better: int
    worse: int
    correlation: Correlation

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
    allowed = allowed_words(lmm, a, own_word=own_word, language=language)
    Z_a, Z_b, pairs = a.states(layer), b.states(layer), align(a, b)
    pairs = pairs.only(ordinary(Z_a)[pairs.a] & ordinary(Z_b)[pairs.b])
    A, B = Z_a[pairs.a], Z_b[pairs.b]
    D = B.astype(np.float64) - A
    before, after = (learners.make_learner(method, n_concepts, seed=seed).fit(Z) for Z in (Z_a[ordinary(Z_a)], B))
    V = np.asarray(before.transform(A))
    U = before.components_.astype(np.float64)
    estimate: Estimate = "mean" if isinstance(before, PrototypeLearner) else "codes"

    def read(U: np.ndarray) -> list[list[str]]:
        return [[w.word for w in row] for row in top_words(lmm, U, layer, allowed, n_words)]

    later = after.components_.astype(np.float64)
    target = Target(match(cosines(U, later), "one-to-one"), later, read(later), [[] for _ in later])
    shifted = U + shifts(D, V, estimate)
    words_before, words_after = target.t_overlaps(read(U)), target.t_overlaps(read(shifted))
    gain = (target.cosine(shifted) - target.cosine(U)) / target.cosine(U)
    steady = consistency(D, V)
    return Point(
        layer=layer,
        step=step,
        n_samples=len(pairs),
        consistency=mean_of(steady, seed=seed),
        magnitude=mean_of(magnitude(D, V) / np.linalg.norm(A, axis=1).mean(), seed=seed),
        cosine_gain=mean_of(gain, seed=seed),
        words_before=mean_of(words_before, seed=seed),
        words_after=mean_of(words_after, seed=seed),
        better=int((words_after > words_before).sum()),
        worse=int((words_after < words_before).sum()),
        correlation=correlation(steady, gain),
    )
