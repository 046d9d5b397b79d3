"""Overlap and AUROC are those of the definitions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vitrail.scores import auroc, factor_matrix, overlap, overlap_matrix


def test_overlap_is_the_papers():
    assert overlap([{"a", "b"}, {"a", "b"}]) == 1
    assert overlap([{"a", "b"}, {"c", "d"}]) == 0
    assert overlap([{"a", "b", "c", "d"}, {"a"}]) == pytest.approx((1 / 4 + 1) / 2)
    assert overlap([{"a"}]) == overlap([]) == 0
    assert overlap([set(), {"a"}]) == 0
    assert overlap_matrix([{"a", "b"}, {"b", "c"}, {"x", "y"}]).tolist() == [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]


def test_overlap_is_the_mean_over_ordered_pairs():
    sets = [set("abc"), set("bcd"), set("c"), set("xyz")]
    pairs = [len(a & b) / len(a) for a, b in itertools.permutations(sets, 2)]
    assert overlap(sets) == pytest.approx(np.mean(pairs))


def test_auroc_is_scikit_learns():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, size=(80, 3)).astype(float)  # many ties
    labels = rng.random((80, 4)) < 0.3
    expected = [[roc_auc_score(labels[:, j], scores[:, k]) for j in range(4)] for k in range(3)]
    np.testing.assert_allclose(auroc(scores, labels), expected)
    np.testing.assert_allclose(auroc(scores[:, 0], labels[:, 1]), expected[0][1])
    assert np.isnan(auroc(scores[:, 0], np.ones(80, bool)))
    with pytest.raises(ValueError, match="80 scores and 79 labels"):
        auroc(scores, labels[1:])


def test_factor_matrix_counts_only_samples_whose_value_is_known():
    V = np.array([[9.0], [0], [1], [2], [3], [4]])
    rows = [{"a": None}, {"a": "x"}, {"a": "x"}, {"a": "y"}, {"a": "y", "n": 1}, {"a": "y", "n": 2}]
    found = factor_matrix(V, rows, minimum=1)
    assert (found.factors, found.values, found.counts) == (("a", "a", "n", "n"), ("x", "y", 1, 2), (2, 3, 1, 1))
    assert found.auroc.tolist() == [[0, 1, 0, 1]]
    assert found.best == [1]
    assert found.by_factor == {"a": 0.5, "n": 0.5}
    assert factor_matrix(V, rows, minimum=2).factors == ("a", "a")
    with pytest.raises(ValueError, match="factors of 6 samples, got 0"):
        factor_matrix(V, [])


def test_factor_matrix_of_signed_activations_knows_no_side():
    found = factor_matrix(np.array([[-1.0], [-2], [1], [2]]), [{"a": v} for v in "xxyy"], minimum=1)
    assert found.match.tolist() == [[1, 1]]
    assert found.by_factor == {"a": 1}
