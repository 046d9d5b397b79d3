"""`vitrail.compare` does all that the command does."""

from __future__ import annotations

import dataclasses

import pytest
from tests.killing import content, killed_after_each_part

from vitrail.errors import ArtifactError, UsageError
from vitrail.runs.compare import compare


def test_the_study_after_is_made_where_there_is_none(activations, study_by, lmm, changed_lmm, dogs, quick, tmp_path):
    a = study_by("kmeans", activations, tmp_path / "a", 3)
    options = dataclasses.replace(quick, n_whole=2)
    found = compare(a, None, lmm, changed_lmm, out=tmp_path / "out", samples=dogs, options=options)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "b",
        "manifest.json",
        "report.html",
        "shift.json",
        "shift.safetensors",
    }
    assert found.b.model.name == "toyland, changed"
    assert found.whole.n_samples == 2
    assert [one.layer for one in found.layers] == [0, 3, 8, "final"]
    assert found.steps == ()
    assert found.options == dataclasses.replace(options, estimator="mean")
    again = compare(a, None, lmm, changed_lmm, out=tmp_path / "out", samples=dogs, options=options)
    assert again.as_dict() == found.as_dict()


def test_without_samples_two_studies_are_compared_alone(before_and_after, lmm, changed_lmm, quick, tmp_path):
    found = compare(*before_and_after, lmm, changed_lmm, out=tmp_path / "out", options=quick)
    assert found.whole is None
    assert not (tmp_path / "out" / "b").exists()


def test_samples_are_needed_for_the_states_of_another_model(before_and_after, lmm, changed_lmm, quick, tmp_path):
    a, b = before_and_after
    with pytest.raises(UsageError, match="Samples are needed"):
        compare(a, None, lmm, changed_lmm, out=tmp_path / "out")
    options = dataclasses.replace(quick, checkpoints=tmp_path)
    with pytest.raises(UsageError, match="Samples are needed"):
        compare(a, b, lmm, changed_lmm, out=tmp_path / "out", options=options)
    assert not (tmp_path / "out").exists()


def test_killed_after_every_part_it_ends_with_the_same_bytes(
    before_and_after, lmm, changed_lmm, dogs, quick, monkeypatch, tmp_path
):
    options = dataclasses.replace(quick, n_whole=3)

    def run(out: str):
        return compare(*before_and_after, lmm, changed_lmm, out=tmp_path / out, samples=dogs, options=options)

    run("whole")
    assert killed_after_each_part(lambda: run("killed"), monkeypatch) == 1 + 4 + 3  # whole models, layers, recovery …
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    with monkeypatch.context() as patch:  # a finished one is opened, and another one refused, before any work
        patch.setattr("vitrail.runs.compare.compare_models", None)
        patch.setattr("vitrail.runs.compare.compare_layers", None)
        run("killed")
        options = dataclasses.replace(options, alpha=0.5)
        with pytest.raises(ArtifactError, match=r"alpha is 1\.0 there and 0\.5 here"):
            run("killed")
