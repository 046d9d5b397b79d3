"""`vitrail verify`."""

from __future__ import annotations

import json
from pathlib import Path

from vitrail.artifacts import write_manifest, write_text


def test_a_folder_is_checked_and_put_right(run, tmp_path: Path) -> None:
    write_text(tmp_path / "c" / "a.json", "[1]")
    write_manifest(tmp_path / "c", "sweep", {}, ["a.json"])
    code, out, _ = run("verify", tmp_path)
    assert code == 0
    assert "Everything is as written." in out
    (tmp_path / "c" / "a.json").write_text("[2]")
    code, out, _ = run("verify", tmp_path, "--json")
    found = json.loads(out)
    assert code == 1
    assert not found["whole"]
    assert [c["condition"] for c in found["checked"]] == ["damaged"]
    assert "vitrail learn" in found["checked"][0]["says"]
    assert run("verify", tmp_path, "--repair")[0] == 0
    assert run("verify", tmp_path)[0] == 0


def test_where_there_is_nothing_is_an_error(run, tmp_path: Path) -> None:
    code, _, err = run("verify", tmp_path / "none")
    assert code == 1
    assert "There is no folder" in err
