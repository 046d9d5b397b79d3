"""Planted factors are found again."""

from __future__ import annotations

import numpy as np
import pytest

from vitrail.evaluation import (
    EvaluationData,
)
from vitrail.evaluation.factor_scores import score_factors


def test_planted_factors_are_told_and_judged_on_held_out_samples():
    """Concept 0 is black, 1 runs, 2 is luck; on held-out samples black is told upside down."""
    rng = np.random.default_rng(0)
    black, runs = rng.random((2, 400)) < 0.4
    V = np.stack([black, runs, rng.random(400) < 0.5], axis=1) + 0.01 * rng.random((400, 3))
    V[300:, 0] = 1 - black[300:]
    names = [str(i) for i in range(400)]
    factors = {
        n: {"colour": "black" if b else "white", "action": "run" if r else "sit"}
        for n, b, r in zip(names, black, runs, strict=True)
    }
    own = [[names[i] for i in np.argsort(-V[:300, k])[:5]] for k in range(3)]
    found = score_factors(V[:300], names[:300], V[300:], names[300:], own, EvaluationData([], [], factors))
    assert found is not None
    by_value = {v.value: v for v in found.values}
    assert (by_value["black"].concept, by_value["black"].auroc, by_value["black"].held_out) == (0, 1, 0)
    assert (by_value["run"].concept, by_value["run"].auroc, by_value["run"].held_out) == (1, 1, 1)
    assert found.by_chance["colour"].mean < 0.65 < 0.75 < found.best["colour"]
    assert [c.value for c in found.concepts[:2]] == ["black", "run"]
    assert [c.purity for c in found.concepts[:2]] == [1, 1]
    assert found.concepts[0].purity_by_chance == pytest.approx(black[:300].mean())
    assert found.recovery.informativeness["action"] > 0.95
    assert found.recovery.informativeness["colour"] < 0.05
    elsewhere = EvaluationData([], [], {"elsewhere": {"colour": "black"}})
    assert score_factors(V, names, V, names, own, elsewhere) is None
