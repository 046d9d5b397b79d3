"""Several methods side by side, with tests between them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from tests.evaluation.fakes import Counting

from vitrail import scores
from vitrail.artifacts import plain
from vitrail.errors import ArtifactError, UsageError
from vitrail.evaluation import (
    MethodOptions,
    open_method_comparison,
    score_methods,
)
from vitrail.evaluation.methods import differences
from vitrail.evaluation.results import Contrast, Scored


def test_methods_stand_side_by_side_on_the_same_states(side_by_side):
    files = {p.name for p in side_by_side.folder.iterdir()}
    assert {"comparison.json", "dog", "embeddings"} <= files
    values = json.loads((side_by_side.folder / "comparison.json").read_text())
    values.pop("digest")
    assert values == plain(side_by_side.to_json())
    assert values["main"] == "semi-nmf"
    assert set(values["evaluations"]["dog"]) == {"kmeans", "semi-nmf"}
    layers = side_by_side.curves["dog"].layers
    assert [scores.layer for scores in layers] == [4, 8]
    assert all(0 < scores.clip.p <= scores.clip.q <= 1 for scores in layers)
    few, many = side_by_side.curves["dog"].n_concepts
    assert (few.n_concepts, many.n_concepts) == (4, 6)
    assert few.explained_variance < many.explained_variance


def test_a_comparison_opens_again_under_the_names_of_version_0_1_0(side_by_side, tmp_path):
    opened = open_method_comparison(side_by_side.folder)
    assert plain(opened) == plain(side_by_side)
    values = json.loads((side_by_side.folder / "comparison.json").read_text())
    curves = values["curves"]["dog"]
    assert {"explained variance, held out", "overlap, random"} <= set(curves["n_concepts"][0])
    assert set(curves["layers"][0]) == {"layer", "explained variance", "clip", "bert"}
    del curves["layers"]  # as where no layers were asked for
    del values["digest"]  # which version 0.1.0 did not write
    (tmp_path / "comparison.json").write_text(json.dumps(values))
    assert open_method_comparison(tmp_path).curves["dog"].layers == ()


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"main": 1, "evaluations": {}, "tests": [], "curves": {}}'])
def test_a_comparison_that_is_damaged_is_named(tmp_path, text):
    (tmp_path / "comparison.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"comparison.json is damaged"):
        open_method_comparison(tmp_path)


def test_every_difference_has_a_p_and_a_q_over_all_of_them(side_by_side):
    tests = side_by_side.tests
    assert len(tests) == 2 * 2 * (2 + 1)  # measures × protocols × (two against random words, one against each other)
    assert [t.q for t in tests] == pytest.approx(scores.corrected([t.p for t in tests]))
    assert all(t.real == (t.q < 0.05) for t in tests)


def test_differences_that_are_real_are_called_so(evaluation):
    def scored(units, p):
        level = scores.Estimate(0.0, 0.0, 0.0, 0.0, 9)
        one = Scored(level, {"random": Contrast(level, level, p)}, tuple(units))
        measures = {"clip": one, "bert": one}
        images = {name: {1: one} for name in measures}
        return dataclasses.replace(evaluation.scores, concepts=measures, images=images)

    rng = np.random.default_rng(0)
    low, high = rng.normal(size=40), rng.normal(size=40) + 3
    found = differences(
        {"dog": {"a": scored(low, 0.5), "b": scored(high, 0.0005), "c": scored([*low[1:], np.nan], 0.9)}}
    )
    for protocol in ("concepts", "images"):
        real = {(t.first, t.second) for t in found if t.real and t.protocol == protocol}
        assert real == {("b", "random words"), ("a", "b"), ("b", "c")}


def test_no_words_are_refused(lmm, data, tmp_path):
    with pytest.raises(UsageError, match="Expected words"):
        score_methods(lmm, data, [], Counting().scorers, MethodOptions(), tmp_path)
