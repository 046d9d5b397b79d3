"""Two studies on their common samples."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from vitrail.comparison.aligned import activations_of_rows, align_studies


@pytest.fixture
def aligned(before_and_after, lmm, changed_lmm):
    return align_studies(*before_and_after, lmm, changed_lmm, n_words=6, n_images=4)


def test_activations_are_those_of_the_rows_where_outliers_were_left_out():
    concepts = SimpleNamespace(kept=np.array([True, False, True, False, True]), V=np.array([[0.0], [2.0], [4.0]]))
    assert activations_of_rows(concepts, np.array([4, 0, 2])).ravel().tolist() == [4, 0, 2]


def test_each_side_has_its_own_states_and_concepts(aligned, before_and_after):
    for side, study in zip((aligned.a, aligned.b), before_and_after, strict=True):
        np.testing.assert_array_equal(side.Z, study.activations.states(8))
        np.testing.assert_array_equal(side.V, study.concepts.V)
        assert side.mass.sum() == pytest.approx(1)
        assert all(len(images) <= 4 for images in side.images)
    np.testing.assert_array_equal(aligned.D, aligned.b.Z - aligned.a.Z)
    assert aligned.ids([0, 1]) == aligned.pairs.ids[:2]


def test_shifted_concepts_are_activated_as_concepts_of_the_learner(aligned, before_and_after):
    _, b = before_and_after
    expected = b.concepts.learner.transform(aligned.b.Z.astype(np.float32))
    np.testing.assert_allclose(aligned.activations_in_b(aligned.b.U), expected, rtol=1e-4, atol=1e-4)
    assert not np.allclose(aligned.activations_in_b(aligned.a.U), expected, atol=1e-2)


def test_every_concept_is_read_by_its_own_model(aligned, before_and_after, lmm, changed_lmm):
    assert (aligned.a.reader.lmm is lmm, aligned.b.reader.lmm is changed_lmm) == (True, True)
    for side in (aligned.a, aligned.b):
        assert side.words == side.reader.words(side.U)
    for side, study in zip((aligned.a, aligned.b), before_and_after, strict=True):
        assert side.words == [[w.word for w in c.words[:6]] for c in study.grounding.concepts]
