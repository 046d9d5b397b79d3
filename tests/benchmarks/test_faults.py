"""The campaign of faults tells its outcomes apart."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict

import pytest
from benchmarks.faults import damage, edits, outcome

from vitrail.errors import ArtifactError
from vitrail.explanation import explain_samples, save_explanations
from vitrail.studies import Study


def fails(error: Exception) -> str:
    raise error


OUTCOMES = {
    "same result": lambda: "a",
    "silently different": lambda: "b",
    "refused by name": lambda: fails(ArtifactError("x/a.json is damaged")),
    "traceback": lambda: fails(KeyError("parameters")),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcomes_are_told_apart(name):
    assert outcome(OUTCOMES[name], "a", ("a.json",)) == name


def test_damage_of_any_file_of_a_small_study_is_never_silent(lmm, activations, concepts, grounding, tmp_path):
    for artifact in (activations, concepts, grounding):
        shutil.copytree(artifact.folder, tmp_path / artifact.folder.name)
    save_explanations([], grounding, tmp_path / "explanations")
    assert isinstance(Study.open(tmp_path), Study)
    assert explain_samples(lmm, activations, concepts, grounding, []) == []
    tally = defaultdict(Counter)
    damage(tmp_path, tally)
    edits(tmp_path, tally, 3)
    assert sum(tally["damage, then open"].values()) > 50
    for what, count in tally.items():
        assert not count["silently different"], what
        assert not count["traceback"], what
