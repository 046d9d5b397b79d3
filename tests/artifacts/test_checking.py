"""`vitrail verify`: what is whole is said to be whole, what is not is named, and can be made again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.monitoring.conftest import observations
from tests.resealing import reseal

from vitrail.artifacts import MANIFEST, file_hash, verify, write_sealed
from vitrail.artifacts.checking import repair
from vitrail.concepts import learn, open_concepts
from vitrail.errors import ArtifactError
from vitrail.monitoring import Watch, WatchOptions, acknowledge, read_observations, read_windows, reference_of
from vitrail.monitoring.sinks.files import ToParquet

OLD = Path(__file__).parent / "v0.1.0"


@pytest.fixture
def folder(activations, concepts, grounding, dog_study, tmp_path):
    """A study's three artifacts, a summary beside them, and what the monitor writes."""
    for artifact in (activations, concepts, grounding):
        shutil.copytree(artifact.folder, tmp_path / "s" / artifact.folder.name)
    write_sealed(tmp_path / "s" / "summary.json", {"word": "dog"})
    reference = reference_of(dog_study, observations(60, 1), out=tmp_path / "s" / "reference")
    watch = Watch(reference, out=tmp_path / "s" / "watch", options=WatchOptions(window=50))
    watch.write([*observations(60, 4), *observations(60, 8, snow=0.9)])
    watch.close()
    acknowledge(tmp_path / "s" / "watch")
    sink = ToParquet(str(tmp_path / "s" / "observed"))
    sink.write(observations(9, 2))
    sink.flush()
    return tmp_path / "s"


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


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
    "the values of a reference": ("reference/values.safetensors", flip, "damaged"),
    "the state of a watch": ("watch/watch.json", flip, "damaged"),
    "what was acknowledged": ("watch/acknowledged.json", flip, "damaged"),
    "a window": ("watch/windows/000001.parquet", flip, "damaged"),
    "the values of a window": ("watch/windows/000000.safetensors", flip, "damaged"),
    "the figures of a window": ("watch/windows/000000.json", lambda p: edit(p, '"n": 50', '"n": 51'), "damaged"),
    "no window": ("watch/windows/000001.parquet", Path.unlink, "missing"),
    "observations": ("observed/part-000000.parquet", flip, "damaged"),
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
    known = {p: c for p, c in conditions(folder).items() if c != "older"}  # covered by a file that is damaged
    assert known == {path: condition}


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


def test_what_the_monitor_reads_again_is_as_it_was_written(folder, dog_study):
    flip(folder / "watch" / "windows" / "000000.safetensors")
    flip(folder / "observed" / "part-000000.parquet")
    edit(folder / "watch" / "windows" / "000001.json", '"n": 50', '"n": 51')
    with pytest.raises(ArtifactError, match=r"part-000000\.parquet is damaged: its contents are not what was written"):
        read_observations(folder / "observed")
    with pytest.raises(ArtifactError, match=r"000001\.json is damaged"):
        read_windows(folder / "watch")
