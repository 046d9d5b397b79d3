"""A comparison on disk."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
from tests.resealing import reseal

from vitrail.artifacts import file_hash
from vitrail.comparison import open_comparison
from vitrail.errors import ArtifactError

#: The content of `shift.json`, whose keys do not change.
KEYS = (
    *("word", "a", "b", "layer", "alignment", "method", "samples", "estimate", "alpha", "matching"),
    *("concepts", "emerged", "after", "flow", "linked", "link_strength"),
    *("recovery", "controls", "sweep", "correlations", "layers", "steps", "whole"),
)


def rewritten(comparison, folder, content: dict):
    """A copy of the comparison with other findings, and a manifest that agrees with them."""
    copy = shutil.copytree(comparison.folder, folder)
    (copy / "shift.json").write_text(json.dumps(content))
    hashes = {name: file_hash(copy / name) for name in ("shift.json", "shift.safetensors")}
    reseal(copy, files=hashes)
    return copy


def without_std(value):
    if isinstance(value, dict):
        return {k: without_std(v) for k, v in value.items() if k != "std"}
    return [without_std(v) for v in value] if isinstance(value, list) else value


def test_what_is_read_is_what_was_written(comparison, before_and_after):
    written = json.loads((comparison.folder / "shift.json").read_text())
    assert tuple(written) == KEYS
    assert written == comparison.as_dict() == open_comparison(comparison.folder).as_dict()
    assert comparison.a.model == before_and_after[0].activations.model
    assert comparison.word == before_and_after[0].activations.word


def test_the_options_are_read_back(comparison, quick):
    estimator = comparison.estimator
    assert comparison.options == dataclasses.replace(quick, estimator=estimator, n_whole=0)


def test_a_comparison_whose_means_have_no_deviation_still_opens(comparison, tmp_path):
    old = without_std(comparison.as_dict())
    found = open_comparison(rewritten(comparison, tmp_path / "old", old))
    assert without_std(found.as_dict()) == old
    assert np.isnan(found.recovery.words_after.std)
    assert found.recovery.words_after.mean == comparison.recovery.words_after.mean


def test_concepts_without_a_match_have_no_figures(comparison, tmp_path):
    content = comparison.as_dict()
    content["concepts"][0] |= {"match": None, "cosine": None, "t_overlap_interval": [None, None]}
    found = open_comparison(rewritten(comparison, tmp_path / "x", content)).concepts[0]
    assert found.match is None
    assert np.isnan([found.cosine, *found.t_overlap_interval]).all()


def test_a_damaged_comparison_is_refused(comparison, tmp_path):
    copy = shutil.copytree(comparison.folder, tmp_path / "copy")
    (copy / "shift.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"shift\.json is damaged"):
        open_comparison(copy)


@pytest.mark.parametrize("missing", ["concepts", "recovery", "a"])
def test_a_comparison_without_a_part_is_damaged(comparison, tmp_path, missing):
    content = comparison.as_dict()
    del content[missing]
    with pytest.raises(ArtifactError, match=r"is damaged .*compare again"):
        open_comparison(rewritten(comparison, tmp_path / "x", content))


def test_a_notebook_shows_words_and_never_their_markup(comparison, tmp_path):
    content = comparison.as_dict()
    content["concepts"][0]["words"][0] = "<script>"
    shown = open_comparison(rewritten(comparison, tmp_path / "x", content))._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
