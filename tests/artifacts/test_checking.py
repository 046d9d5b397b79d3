"""`vitrail verify`: what is whole is said to be whole, what is not is named, and can be made again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.resealing import reseal

from vitrail.artifacts import MANIFEST, file_hash, verify, write_sealed
from vitrail.artifacts.checking import repair
from vitrail.concepts import learn, open_concepts
from vitrail.errors import ArtifactError

OLD = Path(__file__).parent / "v0.1.0"


@pytest.fixture
def folder(activations, concepts, grounding, tmp_path):
    """A study's three artifacts, and a summary beside them."""
    for artifact in (activations, concepts, grounding):
        shutil.copytree(artifact.folder, tmp_path / "s" / artifact.folder.name)
    write_sealed(tmp_path / "s" / "summary.json", {"word": "dog"})
    return tmp_path / "s"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def conditions(folder: Path) -> dict[str, str]:
    return {c.path: c.condition for c in verify(folder) if c.condition != "whole"}


def as_fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


FAULTS = {
    "states": ("activations/part-00000.safetensors", flip, "damaged"),
    "rows": ("activations/part-00001.parquet", flip, "damaged"),
    "a record": ("activations/part-00001.json", flip, "damaged"),
    "concepts": ("concepts/concepts.safetensors", flip, "damaged"),
    "words": ("grounding/grounding.json", flip, "damaged"),
    "a manifest": ("grounding/manifest.json", lambda p: p.write_text(p.read_text()[:-40]), "damaged"),
    "a summary": ("summary.json", lambda p: p.write_text(p.read_text().replace("dog", "cat")), "damaged"),
    "no words": ("grounding/grounding.json", Path.unlink, "missing"),
    "notes": ("notes.txt", lambda p: p.write_text("mine"), "foreign"),
    "JSON of someone": ("mine.json", lambda p: p.write_text("{}"), "foreign"),
    "a FIFO for words": ("grounding/grounding.json", as_fifo, "damaged"),
    "a FIFO for a manifest": ("grounding/manifest.json", as_fifo, "damaged"),
    "a FIFO for a record": ("activations/part-00001.json", as_fifo, "damaged"),
    "a FIFO of someone": ("mine.json", as_fifo, "foreign"),
    "a link to nothing": ("mine.html", lambda p: p.symlink_to("nowhere"), "foreign"),
    "half a file": ("concepts/.x.partial", lambda p: p.write_text("half"), "unfinished"),
}


@pytest.mark.parametrize(("path", "fault", "condition"), FAULTS.values(), ids=FAULTS)
def test_what_is_not_whole_is_named(folder, path, fault, condition):
    assert conditions(folder) == {}
    fault(folder / path)
    assert conditions(folder) == {path: condition}


def test_a_child_of_another_parent_is_told(folder):
    reseal(folder / "concepts", note="of another run")
    said = {c.path: c.says for c in verify(folder)}
    assert said["grounding"] == "Its concepts is not the one beside it."


def test_what_is_damaged_goes_aside_and_is_made_again(folder, activations):
    before = file_hash(folder / "concepts" / "concepts.safetensors")
    flip(folder / "concepts" / "concepts.safetensors")
    flip(folder / "activations" / "part-00000.safetensors")
    moved = repair(folder, verify(folder))
    assert moved == [
        "activations/part-00000.safetensors",
        "concepts/concepts.safetensors",
        "concepts/manifest.json",
    ]
    assert (folder / "concepts" / ".damaged" / "concepts.safetensors").exists()
    learn(activations, out=folder / "concepts", layer=-1, n_concepts=6)
    assert file_hash(folder / "concepts" / "concepts.safetensors") == before
    assert len(open_concepts(folder / "concepts")) == 6


def test_an_unfinished_run_and_an_older_version_are_told(folder):
    manifest = json.loads((folder / "activations" / MANIFEST).read_text())
    reseal(folder / "activations", complete=False, files={})
    flip(folder / "activations" / "part-00000.parquet")
    assert manifest["complete"]
    assert conditions(folder) == {"activations": "unfinished", "activations/part-00000.parquet": "damaged"}
    assert {c.condition for c in verify(OLD / "study")} == {"older"}


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(ArtifactError, match="There is no folder"):
        verify(tmp_path / "none")
