"""Curves by layer and by number of concepts."""

from __future__ import annotations

import pytest
from tests.evaluation.fakes import Counting

from vitrail import scores
from vitrail.concepts import LearningOptions, open_concepts
from vitrail.evaluation.control_words import Controls, random_words
from vitrail.evaluation.curves import DictionarySeries
from vitrail.evaluation.measures import ClipMeasure
from vitrail.evaluation.protocols import score_concepts
from vitrail.grounding import open_grounding, word_reader
from vitrail.studies import unseen_activations


def series(lmm, activations, out, n_random, **learning) -> DictionarySeries:
    return DictionarySeries(lmm, activations, LearningOptions(**learning), out, n_random)


def test_more_concepts_than_samples_are_left_out(lmm, activations, held_out, tmp_path):
    test = unseen_activations(activations, lmm, held_out, out=tmp_path / "test")
    made = series(lmm, activations, tmp_path, 5, method="pca", layer=8)
    (found,) = made.by_size([2, 10_000], test)
    assert found.n_concepts == 2
    learned = open_concepts(tmp_path / "concepts-2" / "concepts", activations)
    Z, Z_test = activations.states(8), test.states(8)
    residual = ((Z_test - learned.learner.inverse_transform(learned.learner.transform(Z_test))) ** 2).sum()
    expected = 1 - residual / ((Z_test - Z.mean(axis=0)) ** 2).sum()
    assert found.explained_variance_held_out.mean == pytest.approx(expected, abs=1e-4)
    assert found.overlap == scores.overlap(open_grounding(tmp_path / "concepts-2" / "grounding").words)


def test_the_curve_by_layer_has_its_own_random_level(lmm, activations, dogs, tmp_path):
    made = series(lmm, activations, tmp_path, 10, method="kmeans", n_concepts=3)
    found = made.by_layer([3, "final"], dogs, Counting().embeddings(tmp_path / "e"))
    assert [scores.layer for scores in found] == [3, "final"]
    known = {s.id: s for s in dogs}
    for scores_of_layer in found:
        layer = scores_of_layer.layer
        grounded = open_grounding(tmp_path / f"layer-{layer}" / "grounding")
        own = [[known[s.sample_id] for s in c.samples] for c in grounded.concepts]
        random = random_words(word_reader(lmm, activations, layer, grounded.options), 10, 0)
        measure = ClipMeasure(Counting().embeddings(tmp_path / "e"))
        expected = score_concepts(measure, grounded.words, own, Controls(random))
        assert scores_of_layer.clip.score.mean == pytest.approx(expected.score.mean)
        assert scores_of_layer.clip.random.mean == pytest.approx(expected.against["random"].level.mean)
        assert scores_of_layer.clip.p == expected.against["random"].p
