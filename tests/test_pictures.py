"""The pictures of the README are of today's pages."""

from __future__ import annotations

import json
import re
from pathlib import Path

from PIL import Image

import vitrail

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"


def test_the_picture_shows_the_concepts_that_the_demo_finds(tmp_path: Path) -> None:
    shown = json.loads((IMAGES / "report.json").read_text(encoding="utf-8"))
    found = vitrail.study("toyland", "toyland", "dog", out=tmp_path / "dog")
    assert {str(c.index): list(c.title) for c in found} == shown, "run `make picture`, and look at the pictures"


def test_every_picture_of_the_readme_is_there_and_all_are_small() -> None:
    named = set(re.findall(r"docs/images/(\w+\.png)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named == {p.name for p in IMAGES.glob("*.png")}
    for path in IMAGES.glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
            assert picture.width >= 400
    assert sum(p.stat().st_size for p in IMAGES.iterdir()) < 600_000
