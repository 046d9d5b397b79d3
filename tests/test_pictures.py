"""The pictures of the README are of today's pages."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

import vitrail
from vitrail.samples.facts import known_facts

ROOT = Path(__file__).parent.parent
IMAGES = ROOT / "docs" / "images"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> vitrail.Study:
    return vitrail.study("toyland", "toyland", "dog", out=tmp_path_factory.mktemp("demo") / "dog")


def test_the_picture_shows_the_concepts_that_the_demo_finds(demo: vitrail.Study) -> None:
    shown = json.loads((IMAGES / "report.json").read_text(encoding="utf-8"))
    assert {str(c.index): list(c.title) for c in demo} == shown, "run `make picture`, and look at the pictures"


def test_titles_are_true_of_the_pictures_under_them(demo: vitrail.Study) -> None:
    """The first word of a title names a factor's value that holds in 4 of its 5 pictures, for 4 of 5 concepts."""
    facts = known_facts("toyland")
    assert facts.factors
    assert facts.lexicon

    def said(sample: str) -> str:
        values = facts.factors[sample]
        return " ".join(n for factor, names in facts.lexicon.items() for n in names.get(str(values.get(factor)), ()))

    held = [sum(c.title[0].split()[0] in said(s.sample_id).split() for s in c.samples[:5]) >= 4 for c in demo]
    assert sum(held) >= 0.8 * len(held)


def test_every_picture_of_the_readme_is_there_and_all_are_small() -> None:
    named = set(re.findall(r"docs/images/(\w+\.png)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named == {p.name for p in IMAGES.glob("*.png")}
    for path in IMAGES.glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
            assert picture.width >= 400
    assert sum(p.stat().st_size for p in IMAGES.iterdir()) < 600_000
