"""Two studies: what is said of their concepts, and studies that cannot be compared."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

from vitrail.comparison import ChangeRules, ComparisonOptions, compare_studies
from vitrail.comparison.artifact import SampleCounts
from vitrail.concepts import learn
from vitrail.errors import ArtifactError, UsageError
from vitrail.grounding import ground
from vitrail.studies import Study


def test_a_shift_becomes_a_vector_that_moves_states_as_its_samples_moved(comparison, before_and_after, lmm, tmp_path):
    from vitrail.steering import shift_vector

    a, b = before_and_after
    for k in range(len(comparison)):
        made = shift_vector(lmm, a.activations, a.concepts, comparison, k, out=tmp_path / str(k))
        codes = a.concepts.V[:, k]
        scale = 1.0 if a.concepts.options.method == "kmeans" else codes[codes > 0].mean()
        expected = scale * comparison.shifts[k]
        np.testing.assert_allclose(made.tensors["layer.8"].numpy(), expected, rtol=1e-5, atol=1e-6)
    norms = np.linalg.norm(a.activations.states(8), axis=1)
    assert made.medians[8] == pytest.approx(np.median(norms))
    with pytest.raises(UsageError, match="concepts 0 to 5; got 6"):
        shift_vector(lmm, a.activations, a.concepts, comparison, 6, out=tmp_path / "none")
    with pytest.raises(ArtifactError, match="was not made from"):
        shift_vector(lmm, a.activations, b.concepts, comparison, 0, out=tmp_path / "other")


def test_shifts_are_those_of_the_formulas(comparison, before_and_after):
    a, b = before_and_after
    D = b.activations.states(8).astype(float) - a.activations.states(8)
    V = a.concepts.V
    if a.concepts.options.method == "kmeans":
        owner = V.argmax(1)
        expected = np.array([D[owner == k].mean(0) for k in range(6)])
        assert comparison.estimator == "mean"
    else:
        means = [s.activations.states(8).mean(0, dtype=float) for s in (a, b)]
        expected = np.linalg.pinv(V.astype(float)) @ (D - (means[1] - means[0]))
        assert comparison.estimator == "codes"
    assert comparison.shifts == pytest.approx(expected, abs=1e-3)
    assert comparison.shifted == pytest.approx(a.concepts.U + expected, abs=1e-3)
    assert comparison.mean_move == pytest.approx(D.mean(0), abs=1e-4)


def test_the_mean_move_is_refused_for_atoms_before_anything_is_made(lmm, activations, study_by, quick, tmp_path):
    a = study_by("pca", activations, tmp_path / "a")
    with pytest.raises(UsageError, match="atoms have norm 1"):
        compare_studies(a, a, lmm, lmm, out=tmp_path / "shift", options=dataclasses.replace(quick, estimator="mean"))
    assert not (tmp_path / "shift").exists()


def test_every_concept_is_described(comparison, activations):
    ids = set(activations.sample_ids())
    assert [c.index for c in comparison.concepts] == list(range(6))
    assert sum(c.n_samples for c in comparison.concepts) <= len(activations)
    assert sorted(c.match for c in comparison.concepts) == list(range(6))
    for c in comparison.concepts:
        assert c.change in ("refined", "changed", "split", "merged", "faded")
        assert (c.counterpart is None) <= (c.change == "faded")
        assert len(c.words) == len(c.words_shifted) == len(c.words_match) == 6
        assert {*c.samples, *c.samples_match} <= ids
        assert {*c.word_change.kept, *c.word_change.lost} == set(c.words)
        shared = len({*c.words_shifted} & {*c.words_match})
        assert c.t_overlap_after == pytest.approx(100 * shared / 6)
        assert c.words_gain == pytest.approx(c.t_overlap_after - c.t_overlap_before)
    assert np.sum(comparison.flow) == sum(c.n_samples for c in comparison.concepts)
    assert len(comparison.controls) == 3
    assert [c.index for c in comparison.after] == list(range(6))


def test_a_model_compared_with_itself_did_not_change(lmm, activations, study_by, quick, tmp_path):
    a = study_by("kmeans", activations, tmp_path / "a")
    found = compare_studies(a, a, lmm, lmm, out=tmp_path / "shift", options=quick)
    assert {c.change for c in found.concepts} == {"refined"}
    assert found.emerged == ()
    assert all(c.match == c.counterpart == c.index for c in found.concepts)
    assert {c.t_overlap_before for c in found.concepts} == {c.t_overlap_after for c in found.concepts} == {100}
    assert all(c.magnitude == 0 for c in found.concepts)
    assert found.samples == SampleCounts(common=len(activations), only_a=0, only_b=0, outliers=0)


def test_a_finished_comparison_is_opened_and_other_options_are_refused(
    comparison, before_and_after, lmm, changed_lmm, quick, monkeypatch
):
    monkeypatch.setattr(sys.modules["vitrail.comparison.studies"], "recover", None)
    again = compare_studies(*before_and_after, lmm, changed_lmm, out=comparison.folder, options=quick)
    assert again.as_dict() == comparison.as_dict()
    half = dataclasses.replace(quick, alpha=0.5)
    with pytest.raises(ArtifactError, match=r"alpha is 1\.0 there and 0\.5 here"):
        compare_studies(*before_and_after, lmm, changed_lmm, out=comparison.folder, options=half)


def test_rules_reach_the_changes(before_and_after, lmm, changed_lmm, quick, tmp_path):
    options = dataclasses.replace(quick, rules=ChangeRules(strength=1.1))
    found = compare_studies(*before_and_after, lmm, changed_lmm, out=tmp_path / "s", options=options)
    assert {c.change for c in found.concepts} == {"faded"}
    assert len(found.emerged) == 6


def test_words_are_those_that_the_studies_allow(comparison, before_and_after, lmm, changed_lmm, quick, tmp_path):
    a, b = before_and_after
    loose = [
        dataclasses.replace(
            s,
            grounding=ground(model, s.activations, s.concepts, out=tmp_path / name, language="any", own_word=True),
        )
        for s, model, name in ((a, lmm, "a"), (b, changed_lmm, "b"))
    ]
    found = compare_studies(*loose, lmm, changed_lmm, out=tmp_path / "shift", options=quick).concepts
    for grounded, c in zip(loose[0].grounding.concepts, found, strict=True):
        assert c.words == [w.word for w in grounded.words[:6]]
    assert any("dog" in c.words for c in found)
    assert [c.words for c in found] != [c.words for c in comparison.concepts]
    with pytest.raises(UsageError, match=r"words were chosen with language='any', .* in one, with language='en', .*"):
        compare_studies(loose[0], b, lmm, changed_lmm, out=tmp_path / "none", options=quick)


def test_another_layer_or_method_is_refused(lmm, activations, study_by, quick, tmp_path):
    a = study_by("kmeans", activations, tmp_path / "a", 3)
    for name, options, message in (
        ("layer", {"layer": 3, "method": "kmeans"}, "layer is 8 in one, 3 in the other"),
        ("method", {"layer": 8, "method": "pca"}, "method is 'kmeans' in one, 'pca' in the other"),
    ):
        concepts = learn(activations, out=tmp_path / name, n_concepts=3, stability=0, **options)
        b = Study(tmp_path, activations, concepts, a.grounding)
        with pytest.raises(UsageError, match=message):
            compare_studies(a, b, lmm, lmm, out=tmp_path / "shift", options=quick)
    assert not (tmp_path / "shift").exists()


def test_the_models_must_be_those_of_the_studies(before_and_after, lmm, quick, tmp_path):
    with pytest.raises(ArtifactError, match="was made by the model 'toyland, changed', not by 'toyland'"):
        compare_studies(*before_and_after, lmm, lmm, out=tmp_path / "shift", options=quick)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"matching": "both"}, "matching must be 'one-to-one' or 'argmax'; got 'both'"),
        ({"estimator": "mode"}, "estimator must be 'mean' or 'median' or 'trimmed' or 'codes'; got 'mode'"),
        ({"n_words": 0}, "must be at least 1"),
        ({"resamples": -1}, "at least 0"),
    ],
)
def test_options_that_are_not_possible_are_refused_at_once(options, message):
    with pytest.raises(UsageError, match=message):
        ComparisonOptions(**options)
