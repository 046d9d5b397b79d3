"""What is pushed to the hub comes back as it was, by the calls that the hub's own client makes to a stand-in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from tests.runs.hub import Hub, serving

import vitrail
from vitrail.artifacts import at
from vitrail.errors import ArtifactError, UsageError
from vitrail.explanation import save_explanations
from vitrail.grounding import GroundedConcepts
from vitrail.reports.card import About, card_of
from vitrail.runs.push import stage
from vitrail.steering import TASKS, SteeringOptions, make_steering


@pytest.fixture(scope="module")
def study(activations, concepts, grounding, tmp_path_factory):
    """The study of the session's dogs, in a folder of its own."""
    home = tmp_path_factory.mktemp("pushed") / "dog"
    for artifact in (activations, concepts, grounding):
        shutil.copytree(artifact.folder, home / artifact.folder.name)
    save_explanations([], grounding, home / "explanations")
    (home / "concepts" / "made.json").write_text('{"run": "learn", "given": {"study": "secret"}}')
    return vitrail.open_study(home)


@pytest.fixture(scope="module")
def steering(lmm, samples, tmp_path_factory):
    out = tmp_path_factory.mktemp("pushed") / "colour"
    return make_steering(lmm, TASKS["colour"], samples[:20], SteeringOptions(layers=(4,)), out=out, progress=False)


@pytest.fixture(scope="module")
def hub():
    return Hub()


@pytest.fixture(scope="module")
def endpoint(hub):
    with serving(hub) as address:
        yield address


@pytest.fixture
def vitrail_at(endpoint, tmp_path):
    """Runs `vitrail ARGUMENTS` in a process of its own, whose client of the hub speaks to the stand-in."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "hf_mine",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "NO_PROXY": "127.0.0.1",
    }

    def call(*words: object, code: int = 0) -> str:
        command = [sys.executable, "-m", "vitrail", *map(str, words)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr

    return call


def test_concepts_go_to_the_hub_and_come_back_by_their_address(vitrail_at, hub, study):
    made = json.loads(vitrail_at("push", study.folder, "me/dog", "--private", "--json"))
    files = hub.repos["me/dog"][-1]
    assert hub.private["me/dog"]
    assert hub.tokens == {"Bearer hf_mine"}
    assert set(files) == set(made["files"])
    assert {"README.md", "concepts/concepts.safetensors", "grounding/grounding.json"} <= set(files)
    assert not any(name.startswith(("activations", "explanations")) or "made.json" in name for name in files)
    assert files["concepts/concepts.safetensors"] == (study.folder / "concepts/concepts.safetensors").read_bytes()
    assert any(call.startswith("POST me/dog.git/info/lfs") for call in hub.calls)
    address = f"{made['address']}@{made['revision']}"
    shown = json.loads(vitrail_at("show", address, "--json"))
    assert [one["kind"] for one in shown] == ["concepts", "grounding"]
    said = vitrail_at("verify", address)
    assert "Everything is as written." in said
    assert "home" not in said
    refused = vitrail_at("extract", "--word", "dog", "--out", "hf://me/dog", code=2)
    assert "`vitrail push FOLDER OWNER/NAME`" in refused


def test_a_file_that_was_changed_on_the_hub_is_refused(vitrail_at, hub, study):
    vitrail_at("push", study.folder, "me/changed")
    files = hub.repos["me/changed"][-1]
    content = bytearray(files["concepts/concepts.safetensors"])
    content[-1] ^= 1
    files["concepts/concepts.safetensors"] = bytes(content)
    assert "damaged" in vitrail_at("push", "hf://me/changed", "me/again", code=1)


def test_what_is_not_there_is_said(vitrail_at):
    assert "hf://me/nothing is not there, or not for you" in vitrail_at("show", "hf://me/nothing", code=1)
    assert "is no address on the hub" in vitrail_at("show", "hf://nothing", code=2)


@pytest.fixture
def here(monkeypatch, tmp_path):
    """A hub on this disk: what is staged for a repository is what is fetched from it."""

    def fetched(url: str):
        return tmp_path / url.removeprefix("hf://")

    monkeypatch.setattr("vitrail.runs.push.fetched", fetched)
    monkeypatch.setattr("vitrail.artifacts.hub.fetched", fetched)
    return tmp_path


def test_without_pictures_a_study_comes_back_as_concepts_with_words(here, study):
    stage(study.folder, "me/dog", here / "me/dog", pictures=False)
    found = vitrail.from_hub("me/dog")
    assert isinstance(found, GroundedConcepts)
    np.testing.assert_array_equal(found.U, study.concepts.U)
    assert [c.title for c in found] == [c.title for c in study]
    text = (here / "me/dog/README.md").read_text()
    assert "No picture and no caption of the data is included" in text
    assert "![](" not in text
    rows = study.activations.rows
    everything = b"".join(p.read_bytes() for p in (here / "me/dog").rglob("*") if p.is_file())
    assert not any(row.text.strip().encode() in everything for row in rows)
    assert not any(row.thumbnail in everything for row in rows)


def test_with_pictures_a_study_comes_back_whole_and_its_card_shows_them(here, study):
    stage(study.folder, "me/whole", here / "me/whole", pictures=True, licence="cc-by-4.0")
    found = vitrail.from_hub("me/whole")
    assert isinstance(found, vitrail.Study)
    assert [row.thumbnail for row in found.activations.rows] == [row.thumbnail for row in study.activations.rows]
    text = (here / "me/whole/README.md").read_text()
    assert "license: cc-by-4.0" in text
    shown = [part.partition(")")[0] for part in text.split("![](")[1:]]
    assert len(shown) == sum(len(c.samples) for c in study)
    assert all((here / "me/whole" / name).is_file() for name in shown)
    with at("hf://me/whole") as folder:
        assert vitrail.open_study(folder).titles == study.titles


def test_a_steering_and_a_comparison_come_back(here, steering, comparison):
    stage(steering.folder, "me/colour", here / "me/colour", pictures=False)
    found = vitrail.from_hub("me/colour")
    assert found.norms == steering.norms
    assert "No licence was named" in (here / "me/colour/README.md").read_text()
    stage(comparison.folder, "me/shift", here / "me/shift", pictures=False)
    assert vitrail.from_hub("me/shift").as_dict() == comparison.as_dict()
    assert {p.name for p in (here / "me/shift").iterdir()} == {
        *("README.md", "manifest.json", "shift.json", "shift.safetensors")
    }


def test_only_what_is_shared_in_this_way_is_pushed(activations, tmp_path):
    with pytest.raises(UsageError, match=r"holds activations\. Name the folder of a study"):
        stage(activations.folder, "me/x", tmp_path, pictures=False)
    with pytest.raises(ArtifactError, match="no study"):
        stage(tmp_path / "nothing", "me/x", tmp_path / "y", pictures=False)


def test_words_of_the_data_are_no_markup_of_a_card(study, monkeypatch):
    monkeypatch.setattr(type(study), "titles", property(lambda self: ["<b>|![](http://x)`"] * len(self)))
    text = card_of(study, About("me/dog", {}, None, False)).text
    assert "<b>" not in text
    assert r"&lt;b&gt;\|\!\[\](http://x)\`" in text
