"""A study made again: with another model, on held-out samples, on images of noise."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from vitrail.activations import Activations
from vitrail.errors import DataError
from vitrail.studies import (
    noise_activations,
    noise_samples,
    noise_study,
    own_samples,
    same_activations,
    samples_of_rows,
    unseen_activations,
    unseen_samples,
)


def test_the_other_study_is_made_as_the_first_one_was(before_and_after):
    a, b = before_and_after
    assert b.activations.sample_ids() == a.activations.sample_ids()
    assert b.activations.options == a.activations.options
    assert b.activations.word == a.activations.word
    assert b.concepts.parameters == a.concepts.parameters
    assert b.grounding.options == a.grounding.options
    assert b.activations.model.name == "toyland, changed"


def test_own_samples_are_those_it_was_made_of(activations, samples):
    found = own_samples(activations, samples)
    assert 0 < len(found) < len(samples)
    assert {s.id for s in found} == set(activations.sample_ids())


def test_data_of_another_kind_are_refused(activations, lmm, samples, tmp_path):
    strangers = [dataclasses.replace(s, id=f"x{s.id}") for s in samples[:3]]
    with pytest.raises(DataError, match="None of the 3 samples is among the"):
        same_activations(activations, lmm, strangers, out=tmp_path / "b")
    with pytest.raises(DataError, match="are not in these data"):
        samples_of_rows(activations, strangers)


def test_only_the_layers_asked_for_are_extracted_again(activations, lmm, dogs, tmp_path):
    found = same_activations(activations, lmm, dogs, out=tmp_path / "b", layers=[3])
    assert found.layers == [3]
    np.testing.assert_allclose(found.states(3), activations.states(3), atol=1e-5)


def test_samples_of_rows_stand_in_the_order_of_the_rows(activations, dogs):
    found = samples_of_rows(activations, dogs[::-1])
    assert [s.id for s in found] == activations.sample_ids()


def test_samples_that_were_learned_from_are_not_unseen(activations, samples, dogs):
    learned_from = set(activations.sample_ids())
    others = [s for s in samples if s.id not in learned_from]
    assert unseen_samples(activations, others) == others
    with pytest.raises(DataError, match="1 samples to test on were learned from"):
        unseen_samples(activations, [*others, dogs[0]])


def test_unseen_states_are_extracted_as_the_first_ones_were(activations, lmm, dogs, tmp_path):
    new = [dataclasses.replace(s, id=f"x{s.id}") for s in dogs[:3]]
    found = unseen_activations(activations, lmm, new, out=tmp_path / "test")
    assert found.options == activations.options
    np.testing.assert_allclose(found.states(8), activations.states(8)[:3], atol=1e-5)


def test_noise_has_the_size_of_the_image_and_the_text_of_the_row(activations, dogs):
    some = SimpleNamespace(
        rows=activations.rows[:2],
        sample_ids=lambda: activations.sample_ids()[:2],
        folder=activations.folder,
    )
    found = noise_samples(some, dogs)
    for noise, row, sample in zip(found, some.rows, samples_of_rows(some, dogs), strict=True):
        assert noise.open().size == sample.open().size
        assert noise.said == (row["text"].strip(),)
        assert noise.question == sample.question
        assert np.asarray(noise.open()).std() > 60  # uniform over 0 to 255
    first, second = (np.asarray(noise.open()) for noise in found)
    assert (first != second).any()
    np.testing.assert_array_equal(first, np.asarray(noise_samples(some, dogs)[0].open()))


def test_the_noise_study_reads_the_same_words_of_other_states(before_and_after, activations, lmm, dogs, tmp_path):
    a, _ = before_and_after
    noise = noise_activations(activations, lmm, dogs, out=tmp_path / "noise")
    assert noise.sample_ids() == activations.sample_ids()
    assert [r["position"] for r in noise.rows] == [r["position"] for r in activations.rows]
    assert not np.allclose(noise.states(8), activations.states(8), atol=0.1)
    found = noise_study(a, noise, lmm, out=tmp_path)
    assert found.concepts.folder == tmp_path / "noise-concepts"
    assert found.grounding.folder == tmp_path / "noise-grounding"
    assert found.concepts.options == dataclasses.replace(a.concepts.options, stability=0)
    assert found.grounding.options == a.grounding.options


def test_noise_is_shown_with_the_text_that_was_said_before(activations, lmm, dogs, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("vitrail.studies.again.extract_as", lambda *a, **k: asked.append(a))
    said = activations.manifest | {"parameters": activations.parameters | {"require": "both"}}
    noise_activations(Activations(activations.folder, said), lmm, dogs, out=tmp_path)
    _, samples, _, options = asked[0]
    assert (len(samples), options.require) == (len(activations), "truth")
