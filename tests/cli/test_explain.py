"""`vitrail explain`."""

from __future__ import annotations

from pathlib import Path


def test_a_study_that_is_not_there(run, tmp_path: Path) -> None:
    code, _, err = run("explain", tmp_path / "none", tmp_path / "x.png")
    assert code == 1
    assert "There is no study at" in err
