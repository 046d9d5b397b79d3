"""Scores of concepts against planted factors."""

from __future__ import annotations

import numpy as np

from vitrail import scores


def planted(n: int, seed: int) -> tuple[np.ndarray, list[dict]]:
    """Concept 0 is red, 1 is blue, 2 runs, 3 is noise; a third factor is in no concept."""
    rng = np.random.default_rng(seed)
    colour = rng.choice(["red", "blue", "green"], n)
    action = rng.choice(["running", "sleeping"], n)
    V = np.stack([colour == "red", colour == "blue", action == "running", rng.random(n) < 0.5], axis=1) * 1.0
    V += 0.1 * rng.random((n, 4))
    rows = [{"colour": c, "action": a, "luck": int(rng.integers(2))} for c, a in zip(colour, action, strict=True)]
    return V, rows


def test_disentanglement_is_high_where_each_concept_serves_one_factor():
    V, rows = planted(300, 0)
    W, other = planted(200, 1)
    rows, other = ([{k: r[k] for k in ("colour", "action")} for r in some] for some in (rows, other))
    one = scores.disentanglement(V, rows, W, other, n_trees=30)
    mix = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    mixed = scores.disentanglement(V @ mix, rows, W @ mix, other, n_trees=30)
    assert one.disentanglement > 0.75 > 0.6 > mixed.disentanglement
    assert one.completeness > mixed.completeness
    assert one.informativeness["action"] > 0.97 > 0.65 > one.majority["action"]
