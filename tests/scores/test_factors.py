"""Scores of concepts against planted factors."""

from __future__ import annotations

import numpy as np
import pytest

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


def test_planted_factors_are_found_on_held_out_samples_and_luck_is_not():
    V, rows = planted(300, 0)
    matrix = scores.factor_matrix(V, rows)
    found = scores.held_out(matrix, *planted(200, 1))
    judged = {
        (f, v): (k, a) for f, v, k, a in zip(found.factors, found.values, found.concept, found.held_out, strict=True)
    }
    assert judged["colour", "red"] == (0, 1)
    assert judged["colour", "blue"] == (1, 1)
    assert judged["action", "running"] == (2, 1)
    assert found.by_factor["luck"].mean < 0.6
    assert matrix.by_factor["luck"] > 0.5  # the best of four fits anything a little
    level = scores.permuted_level(V, rows)
    assert level["luck"].low <= matrix.by_factor["luck"] <= level["luck"].high + 0.05
    assert level["colour"].high < 0.65 < 0.8 < matrix.by_factor["colour"]


def test_values_that_too_few_held_out_samples_have_are_not_judged():
    V, rows = planted(300, 0)
    W, few = planted(40, 1)
    few = [row | {"colour": "red"} for row in few]
    found = scores.held_out(scores.factor_matrix(V, rows), W, few)
    by_value = dict(zip(found.values, found.held_out, strict=True))
    assert np.isnan([by_value["red"], by_value["blue"]]).all()
    assert "colour" not in found.by_factor
    assert by_value["running"] == pytest.approx(1)


def test_signed_activations_are_judged_by_the_sign_that_was_chosen():
    V, rows = planted(300, 0)
    W, other = planted(200, 1)
    found = scores.held_out(scores.factor_matrix(-V, rows), -W, other)
    assert dict(zip(found.values, found.held_out, strict=True))["running"] == pytest.approx(1)


def test_purity_is_the_share_of_own_samples_with_the_best_value():
    V, rows = planted(300, 0)
    matrix = scores.factor_matrix(V, rows)
    samples = [[rows[i] for i in np.argsort(-V[:, k])[:5]] for k in range(2)]
    mixed = [{"action": "running"}, {"action": "sleeping"}]
    found, chance = scores.purity(matrix, [*samples, mixed, []])
    np.testing.assert_allclose(found, [1, 1, 0.5, np.nan])
    assert chance[0] == pytest.approx(np.mean([row["colour"] == "red" for row in rows]))


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
