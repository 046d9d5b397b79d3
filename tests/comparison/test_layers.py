"""The comparison at every layer, and at every checkpoint."""

from __future__ import annotations

import pytest

from vitrail.comparison import compare_checkpoints, compare_layers
from vitrail.concepts import LearningOptions
from vitrail.errors import UsageError
from vitrail.grounding import GroundingOptions

FEW = {"learning": LearningOptions(method="kmeans", n_concepts=4), "reading": GroundingOptions(n_words=5)}


def test_layers_before_the_change_did_not_move(before_and_after, changed_lmm):
    a, b = (study.activations for study in before_and_after)
    found = compare_layers(a, b, changed_lmm, **FEW)
    assert [one.layer for one in found] == [0, 3, 8, "final"]
    assert [one.magnitude.mean == 0 for one in found] == [True, True, False, False]
    assert all(one.n_samples == len(a) for one in found)
    assert all(one.words_before.n == 4 for one in found)


def test_a_fine_tune_is_followed_step_by_step(before_and_after, changed_lmm):
    a, b = (study.activations for study in before_and_after)
    found = compare_checkpoints(a, {20: b, 10: a}, changed_lmm, layer=8, **FEW)
    assert [(one.step, one.magnitude.mean > 0) for one in found] == [(10, False), (20, True)]


def test_words_are_read_in_the_language_asked_for(before_and_after, changed_lmm):
    a, b = (study.activations for study in before_and_after)
    reading = GroundingOptions(language="klingon")
    with pytest.raises(UsageError, match="no dictionary of 'klingon'"):
        compare_layers(a, b, changed_lmm, reading=reading)
    with pytest.raises(UsageError, match="no dictionary of 'klingon'"):
        compare_checkpoints(a, {1: b}, changed_lmm, layer=8, reading=reading)
