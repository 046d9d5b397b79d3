"""Scores of a dictionary against arithmetic by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vitrail import scores


def test_pairwise_cosine_of_each_concept_with_the_others():
    U = np.array([[1.0, 0], [0, 2], [-3, 0]])
    np.testing.assert_allclose(scores.pairwise_cosine(U), [0.5, 0, 0.5])
    assert scores.pairwise_cosine(U[:1]).tolist() == [0]


def test_sparsity():
    V = np.array([[1.0, 1, 1, 1], [0, 0, 5, 0], [0, 0, 0, 0]])
    assert scores.l0(V).tolist() == [4, 1, 0]
    assert scores.l0(np.array([[0.01, -2, 0]])).tolist() == [2]  # however little, whatever the sign
    np.testing.assert_allclose(scores.hoyer(V), [0, 1, np.nan])
    np.testing.assert_allclose(scores.hoyer(V[:2] * -7), [0, 1])
    assert np.isnan(scores.hoyer(V[:, :1])).all()
    assert scores.dead(np.array([[0.0, 1], [0, -1]])).tolist() == [True, False]


def test_explained_variance_is_one_for_the_states_and_zero_for_their_mean():
    Z = np.random.default_rng(0).normal(size=(50, 4)) + 3
    mean = Z.mean(axis=0)
    assert scores.explained_variance(Z, Z, mean).mean == pytest.approx(1)
    assert scores.explained_variance(Z, np.tile(mean, (50, 1)), mean).mean == pytest.approx(0)
    half = scores.explained_variance(Z, np.c_[Z[:, :2], np.tile(mean[2:], (50, 1))], mean)
    expected = ((Z[:, :2] - mean[:2]) ** 2).sum() / ((Z - mean) ** 2).sum()
    assert half.mean == pytest.approx(expected)
    assert half.low < half.mean < half.high
    assert np.isnan(scores.explained_variance(np.ones((3, 2)), np.ones((3, 2)), np.ones(2)).mean)


def test_matched_cosine_knows_the_same_dictionary_in_another_order_and_sign():
    rng = np.random.default_rng(0)
    U = rng.normal(size=(5, 16))
    order = rng.permutation(5)
    np.testing.assert_allclose(scores.matched_cosine(U, 3 * U[order]), 1)
    np.testing.assert_allclose(scores.matched_cosine(U, -U[order], signed=True), 1)
    assert scores.matched_cosine(U, -U[order]).mean() < 0.6
    with pytest.raises(ValueError, match="same shape"):
        scores.matched_cosine(U, U[:4])
