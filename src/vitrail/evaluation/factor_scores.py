"""Concepts against the known factors of their samples, each score beside its level by chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from vitrail import scores
from vitrail.evaluation.inputs import EvaluationData
from vitrail.evaluation.results import BestConcept, BestValue, FactorScores
from vitrail.scores import FactorMatrix, HeldOut


def score_factors(
    V: Float[np.ndarray, "n k"],
    ids: Sequence[str],
    V_test: Float[np.ndarray, "m k"],
    ids_test: Sequence[str],
    own: Sequence[Sequence[str]],
    data: EvaluationData,
    seed: int = 0,
) -> FactorScores | None:
    """How well concepts match the known factors of samples; None where no factor of theirs is known.

    Args:
        V: activations of the samples `ids` that were learned from; `V_test` those of the held-out `ids_test`.
        own: for each concept the ids of its most activating samples.
        data: its factors.
    """
    known, known_test = data.known(ids), data.known(ids_test)
    matrix = scores.factor_matrix(V, known)
    if not matrix.factors:
        return None
    held = scores.held_out(matrix, V_test, known_test, seed=seed)
    purity, purity_by_chance = scores.purity(matrix, [data.known(mine) for mine in own])
    return FactorScores(
        best=matrix.by_factor,
        by_chance=scores.permuted_level(V, known, seed),
        held_out=held.by_factor,
        values=_best_concepts(held),
        concepts=_best_values(matrix, purity, purity_by_chance),
        recovery=scores.disentanglement(V, known, V_test, known_test, seed=seed) if len(V_test) else None,
    )


def _best_concepts(held: HeldOut) -> tuple[BestConcept, ...]:
    columns = (held.factors, held.values, held.concept, held.chosen, held.held_out)
    return tuple(BestConcept(*values) for values in zip(*columns, strict=True))


def _best_values(
    matrix: FactorMatrix, purity: Float[np.ndarray, " k"], purity_by_chance: Float[np.ndarray, " k"]
) -> tuple[BestValue, ...]:
    return tuple(
        BestValue(
            concept=k,
            factor=matrix.factors[j],
            value=matrix.values[j],
            auroc=float(matrix.match[k, j]),
            purity=float(purity[k]),
            purity_by_chance=float(purity_by_chance[k]),
        )
        for k, j in enumerate(matrix.best)
    )
