"""Concepts and their shifts at every layer, and at every checkpoint of a fine-tune."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from vitrail import scores
from vitrail.activations import Activations
from vitrail.artifacts import KeptParts
from vitrail.comparison.matching import match
from vitrail.comparison.pairs import check_comparable, pair_samples
from vitrail.comparison.recovery import Moves, ShiftTrial, Target
from vitrail.comparison.shift_vectors import ShiftEstimator, consistency, magnitude, move_of_mean
from vitrail.concepts import LearningOptions, ordinary
from vitrail.grounding import GroundingOptions, WordReader, word_reader
from vitrail.lmm import LMM, Layer
from vitrail.progress import Progress, shown

#: How concepts are learned at each layer by default, as in the paper.
KMEANS = LearningOptions(method="kmeans")


@dataclass(frozen=True)
class LayerComparison:
    """The shifts between two models at one layer; `step` is that of a checkpoint. Estimates are over concepts.

    Args:
        n_samples: common samples.
        consistency: of the moves of each concept's samples; see `shift_vectors.consistency`.
        magnitude: `‖Δ_k‖` divided by the mean norm of *a*'s states at the layer, so that layers can be compared.
        cosine_gain: of the shift towards the match; see `Recovery.cosine_gain`.
        words_before: T-Overlap with the match, in percent; `words_after` is that after the shift.
        better: number of concepts whose T-Overlap the shift raises; `worse` of those whose it lowers.
        correlation: of consistency with the cosine gain.
    """

    layer: Layer
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


def compare_layers(
    a: Activations,
    b: Activations,
    lmm: LMM,
    *,
    learning: LearningOptions = KMEANS,
    reading: GroundingOptions | None = None,
    parts: KeptParts | None = None,
    progress: Progress | bool = True,
) -> tuple[LayerComparison, ...]:
    """The comparison at every layer that both activations have; concepts are learned at each.

    Args:
        a: activations of the model before; `b` are those of the model after.
        lmm: the model after, which reads all words.
        learning: method, number of concepts and seed.
        reading: how many words are read, and which words are allowed, as in `ground`.
        parts: keeps each layer that is done.

    Raises:
        UsageError: the activations do not mean the same, or the options are not possible.
        DataError: they have no common samples.
        ArtifactError: states of different widths.
    """
    check_comparable(a, b)
    parts = parts or KeptParts(None, {})
    layers = [layer for layer in a.layers if layer in b.layers]
    found = []
    with shown(progress) as tell:
        for n, layer in enumerate(layers, 1):
            reader = word_reader(lmm, a, layer, reading or GroundingOptions())
            compared = partial(_compare_at, a, b, None, reader, learning)
            found.append(parts.value(f"layer {layer}", compared, LayerComparison))
            tell("layers", n, len(layers))
    return tuple(found)


def compare_checkpoints(
    a: Activations,
    checkpoints: Mapping[int, Activations],
    lmm: LMM,
    *,
    layer: Layer,
    learning: LearningOptions = KMEANS,
    reading: GroundingOptions | None = None,
    parts: KeptParts | None = None,
    progress: Progress | bool = True,
) -> tuple[LayerComparison, ...]:
    """The comparison of the model before with every checkpoint of its fine-tune, at one layer.

    The concepts of *a* are the same each time.

    Args:
        a: activations of the model before.
        checkpoints: step → activations of the checkpoint.
        lmm: reads all words. The fine-tune must not have changed its final norm and `W_U`; ours does not.
        learning: this and the following as in `compare_layers`, which raises the same.
    """
    reader, parts = word_reader(lmm, a, layer, reading or GroundingOptions()), parts or KeptParts(None, {})
    found = []
    with shown(progress) as tell:
        for n, step in enumerate(sorted(checkpoints), 1):
            check_comparable(a, checkpoints[step])
            compared = partial(_compare_at, a, checkpoints[step], step, reader, learning)
            found.append(parts.value(f"step {step}", compared, LayerComparison))
            tell("steps", n, len(checkpoints))
    return tuple(found)


def _compare_at(
    a: Activations, b: Activations, step: int | None, reader: WordReader, learning: LearningOptions
) -> LayerComparison:
    """The comparison at the layer of `reader`."""
    layer, seed = reader.layer, learning.seed
    Z_a, Z_b, pairs = a.states(layer), b.states(layer), pair_samples(a, b)
    pairs = pairs.where(ordinary(Z_a)[pairs.a] & ordinary(Z_b)[pairs.b])
    A, B = Z_a[pairs.a], Z_b[pairs.b]
    before, after = learning.learner().fit(Z_a[ordinary(Z_a)]), learning.learner().fit(B)
    U_a, U_b = before.components_.astype(np.float64), after.components_.astype(np.float64)
    D, V = B.astype(np.float64) - A, np.asarray(before.transform(A))
    strength = V / scores.typical_size(V) if learning.standardised else V
    mean = move_of_mean(before.intercept, after.intercept, D.shape[1])
    reader = reader.beside(after.intercept if learning.standardised else None)
    target = Target(match(scores.cosines(U_a, U_b), "one-to-one"), U_b, reader.words(U_b), [[] for _ in U_b])
    estimator: ShiftEstimator = "mean" if before.prototypes else "codes"
    trial = ShiftTrial(U_a, Moves(D, V, strength, mean), target, reader.words, estimator)
    moves = trial.shifts()
    words_before, words_after = trial.t_overlaps(np.zeros_like(moves)), trial.t_overlaps(moves)
    gain = (target.cosine(U_a + moves) - target.cosine(U_a)) / target.cosine(U_a)
    steady = consistency(D, strength)
    return LayerComparison(
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
