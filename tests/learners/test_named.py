"""Concepts that are named: planted properties are read, given their directions, and taken out of what is learned on."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LinearRegression
from tests.stored_states import stored

from vitrail.activations.rows import ShardRows
from vitrail.learners import Named, NamedSemiNMF, SemiNMF, load, save
from vitrail.learners import rows as rows_module
from vitrail.scores import cosines

D = 24


def planted(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """States of which two properties, not independent of each other, move along two directions, four unknown things
    along others, all around a large mean; the properties, and the two directions."""
    rng, world = np.random.default_rng(seed), np.random.default_rng(99)
    U = np.linalg.qr(world.standard_normal((D, 6)))[0].T
    first = rng.random(n) < 0.3
    has = np.stack([first, rng.random(n) < np.where(first, 0.5, 0.2)], axis=1)
    codes = rng.gamma(3, 2, (n, 4)) * (rng.random((n, 4)) < 0.4)
    Z = 50 * world.standard_normal(D) + 6 * has @ U[:2] + codes @ U[2:] + 0.3 * rng.standard_normal((n, D))
    return Z.astype(np.float16).astype(np.float32), has, U[:2]


@pytest.fixture
def learner() -> NamedSemiNMF:
    Z, has, _ = planted()
    return NamedSemiNMF(6, named=Named.fit(Z, has)).fit(Z)


def test_named_concepts_lie_along_what_was_planted_and_tell_new_samples(learner):
    _, _, directions = planted()
    assert np.diag(cosines(learner.components_[:2], directions)).min() > 0.95
    np.testing.assert_allclose(np.linalg.norm(learner.components_, axis=1), 1, atol=1e-5)
    Z, has, _ = planted(seed=1)
    V = learner.transform(Z)
    for j in range(2):
        assert V[has[:, j], j].mean() == pytest.approx(6, abs=1)  # a length along the direction: what was planted
        assert np.median(V[~has[:, j], j]) < 0.5
    assert learner.n_named == 2
    assert SemiNMF(3).n_named == 0


def test_the_activation_is_how_far_the_reading_exceeds_that_of_samples_without(learner):
    Z, has, _ = planted()
    read = Z.astype(np.float64) @ learner.probes_.T
    expected = np.maximum(0, read - [read[~has[:, j], j].mean() for j in range(2)])
    np.testing.assert_allclose(learner.transform(Z)[:, :2], expected, atol=1e-3)


def test_the_lengths_are_those_of_a_regression_of_states_on_the_directions():
    Z, has, _ = planted()
    named = Named.fit(Z, has)
    V = named.activations(Z)
    parts = (V - V.mean(0))[:, :, None] * named.directions
    fitted = LinearRegression(fit_intercept=False).fit(parts.transpose(0, 2, 1).reshape(-1, 2), (Z - Z.mean(0)).ravel())
    np.testing.assert_allclose(fitted.coef_, 1, atol=1e-6)  # nothing is gained by making a concept longer or shorter


def test_the_rest_is_what_semi_nmf_finds_in_what_they_leave(learner):
    Z, _, _ = planted()
    left = learner.named.left(Z)
    rest = SemiNMF(4).fit(left)
    np.testing.assert_array_equal(learner.components_[2:], rest.components_)
    V = learner.transform(Z)
    np.testing.assert_allclose(V[:, 2:], rest.transform(left), atol=1e-5)
    rebuilt = V[:, :2] @ learner.components_[:2] + rest.inverse_transform(V[:, 2:])
    np.testing.assert_allclose(learner.inverse_transform(V), rebuilt, atol=1e-3)
    assert (V >= 0).all()


@pytest.mark.parametrize("form", ["centred", "paper"])
def test_concepts_from_a_folder_are_those_from_memory(tmp_path, monkeypatch, form):
    monkeypatch.setattr(rows_module, "_PIECE", 250)
    Z, has, _ = planted()
    named = Named.fit(Z, has)
    whole = NamedSemiNMF(5, named=named, form=form).fit(Z)
    pieces = NamedSemiNMF(5, named=named, form=form).fit_rows(ShardRows(stored(tmp_path, Z, (350, 250)), 4))
    np.testing.assert_allclose(pieces.components_, whole.components_, atol=1e-5)
    np.testing.assert_allclose(pieces.transform(Z), whole.transform(Z), atol=1e-3)


def test_a_saved_learner_opens_to_the_same_activations(learner):
    opened = load(*save(learner))
    Z, _, _ = planted(seed=1)
    assert isinstance(opened, NamedSemiNMF)
    np.testing.assert_allclose(opened.transform(Z), learner.transform(Z), atol=1e-4)
    assert opened.n_named == 2


def test_a_copy_keeps_what_is_named_and_adopted_concepts_stand_behind_it(learner):
    Z, _, _ = planted()
    other = clone(learner).set_params(random_state=5).fit(Z)
    np.testing.assert_array_equal(other.components_[:2], learner.components_[:2])
    turned = np.concatenate([np.zeros((2, D)), learner.components_[:1:-1]])
    adopted = clone(learner).adopt(turned, rows_module.ArrayRows(Z))
    np.testing.assert_allclose(adopted.components_, np.concatenate([learner.components_[:2], turned[2:]]), atol=1e-6)


def test_a_property_that_nothing_reads_has_no_activation():
    """One sample of one property: its probe reads nothing, and nothing is divided by zero."""
    Z, has, _ = planted(60)
    none = np.zeros((60, 1), bool)
    named = Named.fit(Z, np.hstack([has, none]))
    assert np.isfinite(named.directions).all()
    assert np.abs(named.activations(Z)[:, 2]).max() < 1e-6


@pytest.mark.parametrize("n_components", [1, 2])
def test_named_concepts_need_others_beside_them(n_components):
    Z, has, _ = planted()
    with pytest.raises(ValueError, match=f"expected 1 to {n_components - 1} named concepts of {n_components}, got 2"):
        NamedSemiNMF(n_components, named=Named.fit(Z, has)).fit(Z)
    with pytest.raises(ValueError, match="got 0"):
        NamedSemiNMF(5).fit(Z)
