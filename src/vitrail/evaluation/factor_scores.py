"""Concepts against the known factors of their samples, each figure beside its level by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from vitrail import scores
from vitrail.scores import KnownFactors


def truth_scores(
    V: np.ndarray,
    ids: Sequence[str],
    V_test: np.ndarray,
    ids_test: Sequence[str],
    own: Sequence[Sequence[str]],
    factors: KnownFactors | None,
    seed: int = 0,
) -> dict[str, Any] | None:
    """What is known of the samples, found again in the concepts; None when nothing is known of them.

    Args:
        V: (n_samples, n_concepts) activations of the samples `ids` that were learned from; `V_test` of held-out ones.
        own: for each concept the ids of its most activating samples.

    Returns:
        `best`: factor → the mean over its values of the best AUROC among all concepts, on the samples learned from;
        `by_chance`: the same with the samples' factors dealt anew; `p`: how often that is as good;
        `held_out`: factor → the same concepts judged on held-out samples;
        `values`: every factor value with its best concept; `concepts`: every concept with its best value and purity;
        `recovery`: disentanglement, completeness, informativeness.
    """
    known = [dict((factors or {}).get(i, {})) for i in ids]
    known_test = [dict((factors or {}).get(i, {})) for i in ids_test]
    matrix = scores.factor_matrix(V, known)
    if not matrix.factors:
        return None
    chance = scores.permuted_level(V, known, seed)
    held = scores.held_out(matrix, V_test, known_test, seed=seed)
    pure, pure_chance = scores.purity(matrix, [[dict((factors or {}).get(i, {})) for i in mine] for mine in own])
    best = matrix.by_factor
    return {
        "best": best,
        "by_chance": {name: asdict(level) for name, level in chance.items()},
        "held_out": {name: asdict(level) for name, level in held.by_factor.items()},
        "values": [
            {"factor": f, "value": v, "concept": k, "auroc": chosen, "held_out": judged}
            for f, v, k, chosen, judged in zip(
                held.factors, held.values, held.concept, held.chosen, held.held_out, strict=True
            )
        ],
        "concepts": [
            {
                "concept": k,
                "factor": matrix.factors[j],
                "value": matrix.values[j],
                "auroc": float(matrix.match[k, j]),
                "purity": float(pure[k]),
                "purity_by_chance": float(pure_chance[k]),
            }
            for k, j in enumerate(matrix.best)
        ],
        "recovery": asdict(scores.disentanglement(V, known, V_test, known_test, seed=seed)) if len(V_test) else None,
    }
