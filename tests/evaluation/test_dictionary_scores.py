"""Scores of a dictionary beside their controls."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation.fakes import photo

from vitrail import scores
from vitrail.evaluation.dictionary_scores import caption_shares, score_dictionary


def test_words_in_captions_of_own_images_against_those_of_others():
    own = [[photo(0, ("a black dog",)), photo(1, ("it runs",))], [photo(2, ("a white category",))]]
    found, others = caption_shares([["black", "cat"], ["white", "cat"]], own)
    assert found.tolist() == [0.5, 0.5]
    assert others.tolist() == [0, 0]
    assert np.isnan(caption_shares([[]], [[]])[0]).all()


def test_dictionary_scores_stand_beside_their_controls(activations, concepts, dogs):
    Z = activations.states(concepts.layer)
    lists = [["red", "blue"], ["red"], *[[f"w{i}"] for i in range(4)]]
    found = score_dictionary(concepts, Z, Z[:9], lists, [["a", "b"], ["b", "c"]], [[s] for s in dogs[:6]])
    assert found["overlap"].value.mean == pytest.approx(scores.overlap(lists))
    assert found["explained variance"].value.mean == pytest.approx(concepts.scores["explained_variance"], abs=1e-4)
    assert found["explained variance"].control < 0.2 < found["explained variance"].value.mean
    residual = ((Z[:9] - concepts.learner.inverse_transform(concepts.learner.transform(Z[:9]))) ** 2).sum()
    held_out = 1 - residual / ((Z[:9] - Z.mean(axis=0)) ** 2).sum()
    assert found["explained variance, held out"].value.mean == pytest.approx(held_out, abs=1e-4)
    assert found["explained variance, held out"].control < 0.2
    assert found["active concepts per sample"].value.mean == pytest.approx(concepts.scores["active"])
    assert found["pairwise cosine"].control < 0.1
    assert 0.5 < found["stability over seeds"].value.mean <= 1 + 1e-6
    assert all(f.value.low <= f.value.mean <= f.value.high for f in found.values())
