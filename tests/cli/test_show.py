"""`vitrail show`: what an artifact is, of every kind."""

from __future__ import annotations

import json
import shutil

import pytest

from vitrail.artifacts.showing import show
from vitrail.extraction import extract_words


@pytest.fixture(scope="module")
def study(activations, concepts, grounding, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown") / "dog"
    for artifact in (activations, concepts, grounding):
        shutil.copytree(artifact.folder, folder / artifact.folder.name)
    return folder


def test_a_study_is_shown_with_a_line_for_each_artifact(run, study, activations):
    code, out, err = run("show", study, "--json")
    assert code == 0, err
    found = {s["path"]: s for s in json.loads(out)}
    assert set(found) == {"activations", "concepts", "grounding"}
    states = found["activations"]
    assert states["rows"] == [len(activations), activations.counts.scanned]
    assert states["words"] == {"dog": None}
    assert states["model"] == "toyland, float32"
    assert states["parameters"]["layers"] == [0, 3, 8, "final"]
    assert states["size"] == sum(p.stat().st_size for p in activations.folder.iterdir())
    assert states["checks"][0] >= 4
    assert states["checks"][1] == 0
    assert found["concepts"]["parents"] == {"activations": "activations"}
    assert found["grounding"]["parents"] == {"concepts": "concepts"}


def test_one_artifact_is_shown_with_all_that_is_known(run, study):
    code, out, err = run("show", study / "concepts")
    assert code == 0, err
    for says in ("concepts", "made from", "activations", "n_concepts", "6", "method", "semi-nmf", "versions", "torch"):
        assert says in out
    code, out, _ = run("show", study)
    assert code == 0
    assert len([line for line in out.splitlines() if line.strip()]) == 4


def test_the_words_of_many_are_counted(lmm, dogs, tmp_path):
    from vitrail.activations import ExtractionOptions

    options = ExtractionOptions(layers=(1,), require="truth")
    store = extract_words(lmm, dogs[:6], ["dog", "a"], out=tmp_path / "s", options=options)
    found = {s.path: s for s in show(store.folder)}
    assert found["activations"].words == store.kept
    assert found["words/dog/activations"].words == {"dog": None}
    assert found["words/dog/activations"].parents == {"activations": "activations"}


def test_what_holds_no_artifact_is_an_error(run, tmp_path):
    code, _, err = run("show", tmp_path)
    assert code == 1
    assert "There is no artifact of Vitrail in" in err
