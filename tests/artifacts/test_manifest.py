"""A manifest that was edited, and a file that is not as it was written, are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.resealing import reseal

from vitrail.artifacts import (
    MANIFEST,
    check_free,
    check_ours,
    is_current,
    make_way,
    read_finished,
    read_manifest,
    write_manifest,
    write_ours,
    write_sealed,
    write_text,
)
from vitrail.artifacts.ours import BESIDE, LOOSE
from vitrail.errors import ArtifactError

PARAMETERS = {"k": 2, "word": {"text": "dog"}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A finished artifact of two files, one in a folder of its own."""
    out = tmp_path / "c"
    write_text(out / "a.json", "[1, 2]")
    write_text(out / "deep" / "b.txt", "b")
    write_manifest(out, "explanations", {"parameters": PARAMETERS, "scores": {"ev": 0.5}}, ["a.json", "deep/b.txt"])
    return out


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


FAULTS = {
    "a letter of a file": (lambda f: edit(f / "a.json", "2", "3"), r"a\.json is damaged"),
    "a file cut short": (lambda f: (f / "deep" / "b.txt").write_text(""), r"b\.txt is damaged"),
    "no file": (lambda f: (f / "a.json").unlink(), r"a\.json is missing"),
    "a folder in place of a file": (lambda f: [(f / "a.json").unlink(), (f / "a.json").mkdir()], r"a\.json is damaged"),
    "an edited score": (lambda f: edit(f / MANIFEST, "0.5", "0.99"), "not what was written"),
    "a score that is NaN": (lambda f: edit(f / MANIFEST, "0.5", "NaN"), "NaN is no number"),
    "an edited parameter": (lambda f: edit(f / MANIFEST, '"k": 2', '"k": 3'), "not what was written"),
    "another kind": (lambda f: edit(f / MANIFEST, "explanations", "concept_"), "not what was written"),
    "no digest": (lambda f: edit(f / MANIFEST, '"digest"', '"digits"'), "it has no digest"),
    "an older schema": (lambda f: edit(f / MANIFEST, '"schema": 2', '"schema": 1'), "not what was written"),
    "half a manifest": (lambda f: (f / MANIFEST).write_text((f / MANIFEST).read_text()[:90]), "is damaged"),
    "a list": (lambda f: (f / MANIFEST).write_text("[]"), "an object was expected"),
    "no text": (lambda f: (f / MANIFEST).write_bytes(b"\xff\xfe"), "is damaged"),
    "nested too deeply": (lambda f: (f / MANIFEST).write_text("[" * 100_000), "is damaged"),
    "sealed, of a wrong type": (lambda f: reseal(f, files=["a.json"]), "is damaged"),
    "sealed, without a schema": (lambda f: write_sealed(f / MANIFEST, {"kind": "explanations"}), "is damaged"),
    "sealed, files outside": (lambda f: reseal(f, files={"../../x": "0"}), "no path inside the folder"),
    "sealed, a newer schema": (lambda f: reseal(f, schema=3), "schema 3; this version of Vitrail reads up to 2"),
}


@pytest.mark.parametrize(("fault", "says"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_refused_by_name(folder, fault, says):
    assert read_finished(folder, "explanations", "learn")["parameters"] == PARAMETERS
    fault(folder)
    with pytest.raises(ArtifactError, match=says):
        read_finished(folder, "explanations", "learn")


def test_an_artifact_that_is_there_is_not_written_over_and_is_named(folder):
    """For what is never made again in its place, such as the reference of a monitor."""
    for kind in ("explanations", "reference"):
        with pytest.raises(ArtifactError, match="holds an artifact already: explanations"):
            check_free(folder, kind)


def test_a_damaged_file_makes_an_artifact_be_made_again(folder, caplog):
    assert is_current(folder, "explanations", PARAMETERS, {})
    edit(folder / "a.json", "2", "3")
    assert not is_current(folder, "explanations", PARAMETERS, {})
    assert "a.json is damaged; it is made again" in caplog.text


def test_what_version_0_1_0_wrote_is_read_but_nothing_goes_on_with_it(folder):
    values = json.loads((folder / MANIFEST).read_text())
    old = {"schema": 1, "kind": "explanations", "versions": {"vitrail": "0.1.0"}, "parameters": {}, "files": {}}
    (folder / MANIFEST).write_text(json.dumps(old))
    assert read_manifest(folder, "explanations")["schema"] == 1
    with pytest.raises(ArtifactError, match=r"made by an earlier Vitrail.*schema 1.* `vitrail study` again"):
        is_current(folder, "explanations", values["parameters"], {})


#: Ending → a file of somebody with it.
THEIRS = {
    ".html": b"<!DOCTYPE html><title>mine</title>\n",
    ".svg": b"<svg><text>mine</text></svg>\n",
    ".md": b"# mine\n",
    ".tex": b"% mine\n",
    ".json": b'{"word": "mine"}',
}


def written(path: Path) -> None:
    """A file of ours with the content of somebody's."""
    data = THEIRS[path.suffix]
    write_sealed(path, json.loads(data)) if path.suffix == ".json" else write_ours(path, data)


#: How a file came to be what it is → what is said when it is about to be overwritten.
HISTORIES = {
    "ours": (written, None),
    "somebody's": (lambda p: p.write_bytes(THEIRS[p.suffix]), "was not written by Vitrail"),
    "somebody's notes": (lambda p: p.write_bytes(b"notes"), "was not written by Vitrail"),
    "empty": (lambda p: p.write_bytes(b""), "was not written by Vitrail"),
    "ours, edited": (lambda p: (written(p), edit(p, "mine", "thine")), "was changed since"),
    "ours, longer": (lambda p: (written(p), p.write_bytes(p.read_bytes() + b"more")), "was (changed|not written)"),
}


@pytest.mark.parametrize("suffix", THEIRS)
@pytest.mark.parametrize(("history", "says"), HISTORIES.values(), ids=HISTORIES)
def test_only_our_own_is_overwritten(tmp_path, suffix, history, says):
    path = tmp_path / f"x{suffix}"
    check_ours([path])  # nothing is there
    history(path)
    if says is None:
        check_ours([path])
        written(path)
    else:
        before = path.read_bytes()
        with pytest.raises(ArtifactError, match=rf"x{suffix} {says}.*--overwrite"):
            check_ours([path], offer=True)
        if suffix != ".json":
            with pytest.raises(ArtifactError, match=says):
                write_ours(path, b"new")
        assert path.read_bytes() == before
    make_way([path])
    assert path.exists() == (says is None)


def test_a_page_of_version_0_1_0_is_ours(tmp_path):
    (tmp_path / "r.html").write_text("<title>“dog” in toyland · Vitrail</title>", encoding="utf-8")
    check_ours([tmp_path / "r.html"])


def test_every_ending_of_what_is_written_beside_artifacts_can_carry_a_seal():
    whole = set(LOOSE) - {".jsonl"}  # to which lines are added, and which is never written anew
    assert {Path(name).suffix for names in BESIDE.values() for name in names} <= set(THEIRS) == whole


def test_our_json_may_be_overwritten(tmp_path):
    write_sealed(tmp_path / "s.json", {"word": "dog"})
    check_ours([tmp_path / "s.json"])
