"""`vitrail toyland`."""

from __future__ import annotations

import json
from pathlib import Path


def test_toyland_is_written(run, tmp_path: Path) -> None:
    code, out, _ = run("toyland", "--out", tmp_path / "t", "--samples", 20, "--seed", 4, "--json")
    assert code == 0
    assert json.loads(out) == {"folder": str(tmp_path / "t"), "samples": 20, "seed": 4}
    assert len(list((tmp_path / "t").rglob("*.jpg"))) == 20
