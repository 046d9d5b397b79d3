"""The mean is a row of its own, and λ means the same at any scale; the paper's form is what it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from tests.stored_states import representations

from vitrail.learners import ArrayRows, SemiNMF, here, load, nonnegative_lasso, save
from vitrail.learners.rows import mean_and_spread
from vitrail.learners.semi_nmf import PENALTIES
from vitrail.scores import members, typical_size

SMALL = np.random.default_rng(0).integers(-9, 10, (12, 4)) + np.array([20.0, 0, 0, 5])
# what version 0.1.0 found in it, and wrote
SMALL_U = [
    [0.744583449, 0.210955025, 0.153963327, 0.614319752],
    [0.807955632, -0.388370068, -0.426881209, -0.118948812],
    [0.933195393, 0.240289229, 0.195937351, -0.181703052],
]
SMALL_V = [[7.246100713, 7.549619426, 15.404048501], [0, 19.313465648, 0], [19.137945203, 0, 0]]
WRITTEN = {
    "method": "semi-nmf",
    "params": {"max_iter": 1000, "n_components": 3, "n_init": 5, "penalty": 2.0, "random_state": 0, "tol": 1e-06},
    "fitted": {"n_features_in_": 4, "objective_": 711.4557768297828, "n_iter_": 26, "n_revived_": 0, "n_dead_": 0},
}


def mostly_mean(n: int = 400, d: int = 60, K: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """States as a real model has them: norms of 50,000, 96 % of the energy in their mean, the rest sparse sums of
    planted directions; and these directions."""
    rng = np.random.default_rng(seed)
    U = np.linalg.qr(rng.standard_normal((d, K + 1)))[0].T
    codes = rng.gamma(3, 2600, (n, K)) * (rng.random((n, K)) < 0.2)
    Z = 50_000 * U[K] + codes @ U[:K] + 200 * rng.standard_normal((n, d))
    return Z.astype(np.float32), U[:K]


def worst_recovered(planted: np.ndarray, found: np.ndarray) -> float:
    """The smallest cosine of a planted direction with its partner among those found."""
    cosines = planted @ found.T
    return float(cosines[linear_sum_assignment(-cosines)].min())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99), st.floats(1e-3, 1e4))
def test_states_times_c_have_the_same_concepts_and_c_times_the_codes(seed, c):
    Z = representations(60, 8, seed).astype(np.float64) + 7
    one, other = SemiNMF(4, n_init=2).fit(Z), SemiNMF(4, n_init=2).fit(c * Z)
    np.testing.assert_allclose(other.components_, one.components_, atol=1e-6)
    np.testing.assert_allclose(other.transform(c * Z), c * one.transform(Z), atol=1e-5 * c * one.spread_)
    assert other.spread_ == pytest.approx(c * one.spread_)
    assert other.objective_ == pytest.approx(c**2 * one.objective_)


def test_the_share_of_zeros_depends_on_the_scale_in_the_papers_form_alone():
    def zeros(form, scale):
        return np.mean(SemiNMF(6, form=form, penalty=0.2).fit_transform(representations(200) * scale) == 0)

    assert zeros("centred", 1000) == pytest.approx(zeros("centred", 1), abs=0.01)
    assert abs(zeros("paper", 1000) - zeros("paper", 0.1)) > 0.05


def test_states_are_moved_by_a_constant_without_a_change_of_concepts_or_codes():
    Z = representations(200).astype(np.float64)
    one, other = SemiNMF(6).fit(Z), SemiNMF(6).fit(Z + 1000 * np.arange(24))
    np.testing.assert_allclose(other.components_, one.components_, atol=1e-6)
    np.testing.assert_allclose(other.mean_ - one.mean_, 1000 * np.arange(24), atol=1e-6)


def test_where_no_concept_is_active_the_reconstruction_is_the_mean():
    Z = representations(200)
    fitted = SemiNMF(3, penalty=1e4).fit(Z)
    assert fitted.n_dead_ == 3
    np.testing.assert_allclose(fitted.inverse_transform(fitted.transform(Z)), np.tile(Z.mean(0), (200, 1)), rtol=1e-5)
    np.testing.assert_allclose(fitted.intercept, Z.mean(0), rtol=1e-5)
    assert SemiNMF(3, form="paper").fit(Z).intercept is None


def test_codes_are_those_of_the_paper_on_centred_states_with_the_penalty_in_their_units():
    Z, new = representations(200).astype(np.float64), representations(9, seed=1).astype(np.float64)
    fitted = SemiNMF(6, penalty=0.2).fit(Z)
    mean, spread = Z.mean(0), np.sqrt(Z.var(0).sum())
    expected = nonnegative_lasso(new - mean, fitted.components_, 0.2 * spread)
    np.testing.assert_allclose(fitted.transform(new), expected, atol=1e-9)
    by_hand = SemiNMF(6, penalty=0.2 * spread, form="paper").fit(Z - mean)
    np.testing.assert_allclose(fitted.components_, by_hand.components_, atol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e6])
def test_mean_and_spread_are_exact_where_states_are_nearly_all_mean(offset, small_pieces):
    Z = representations(950, seed=2).astype(np.float64) + offset
    mean, spread = mean_and_spread(ArrayRows(Z), here)
    np.testing.assert_allclose(mean, Z.mean(0), rtol=1e-12)
    assert spread == pytest.approx(np.sqrt(Z.var(0).sum()), rel=1e-9)


def test_planted_concepts_are_found_where_96_percent_of_the_energy_is_the_mean():
    Z, planted = mostly_mean()
    of_mean = len(Z) * np.square(Z.mean(0, dtype=np.float64)).sum() / np.square(Z, dtype=np.float64).sum()
    assert of_mean == pytest.approx(0.96, abs=0.01)
    ours, papers = SemiNMF(6).fit(Z), SemiNMF(6, form="paper").fit(Z)
    assert worst_recovered(planted, ours.components_) > 0.95
    assert worst_recovered(planted, papers.components_) < 0.3
    V, V_papers = ours.transform(Z), papers.transform(Z)
    assert np.mean(V == 0) > 0.7
    assert np.mean(V_papers == 0) < 0.05
    owner, owner_papers = members(V / typical_size(V)), members(V_papers)
    assert np.bincount(owner + 1, minlength=7)[1:].min() > 30
    assert np.sort(np.bincount(owner_papers, minlength=6))[:4].max() < 10


def test_the_papers_form_finds_what_it_found():
    fitted = SemiNMF(3, form="paper").fit(SMALL)
    assert fitted.penalty_ == 2.0
    np.testing.assert_allclose(fitted.components_, SMALL_U, atol=1e-5)
    np.testing.assert_allclose(fitted.transform(SMALL[:3]), SMALL_V, atol=1e-4)
    assert fitted.objective_ == pytest.approx(711.4557768297828, rel=1e-6)


def test_a_learner_that_was_saved_before_there_were_forms_means_what_it_meant():
    tensors = {"components_": np.array(SMALL_U), "objectives_": np.zeros(27)}
    opened = load(tensors, WRITTEN)
    assert opened.form == "paper"
    np.testing.assert_allclose(opened.transform(SMALL[:3]), SMALL_V, atol=1e-7)
    V = opened.transform(SMALL)
    np.testing.assert_array_equal(opened.inverse_transform(V), V @ opened.components_)
    again = load(*save(opened))
    np.testing.assert_array_equal(again.transform(SMALL), V)


def test_another_default_does_not_change_what_was_learned_with_this_one(monkeypatch):
    fitted = SemiNMF(3).fit(SMALL)
    V, saved = fitted.transform(SMALL), save(fitted)
    monkeypatch.setitem(PENALTIES, "centred", 9.0)
    np.testing.assert_array_equal(load(*saved).transform(SMALL), V)


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form must be one of 'centred', 'paper', got 'raw'"):
        SemiNMF(3, form="raw").fit(SMALL)
