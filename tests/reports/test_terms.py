"""Every term that a page explains has its definition on the page of scores."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vitrail.reports.terms import SCORES, TERMS, anchor, term

PAGE = (Path(__file__).parents[2] / "docs" / "scores.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TERMS)
def test_the_page_of_scores_says_of_every_term_what_it_is_and_is_not(name: str) -> None:
    place = f'<a id="{anchor(name)}"></a>\n\n### {name}\n'
    assert PAGE.count(place) == 1
    section = re.split(r"\n<a id=|\n## ", PAGE.split(place)[1], maxsplit=1)[0]
    meaning, *parts = section.strip().split("\n")
    assert meaning == f"{TERMS[name][0].upper()}{TERMS[name][1:]}."
    heads = [line.split(":**")[0] for line in parts if line]
    assert heads == [f"- **{head}" for head in ("Formula", "Range", "How to read it", "What it does not show")]
    assert all(len(line.split(":**")[1]) > 5 for line in parts if line)


def test_no_section_is_of_a_term_that_no_page_uses() -> None:
    assert set(re.findall(r"^### (.+)$", PAGE, re.MULTILINE)) == set(TERMS)


def test_a_term_leads_to_its_definition_and_shows_its_meaning() -> None:
    found = str(term("CLIPScore", "CLIP"))
    assert f'href="{SCORES}#clipscore"' in found
    assert f'title="{TERMS["CLIPScore"]}">CLIP<' in found


def test_a_term_without_a_meaning_is_plain_and_no_markup() -> None:
    assert str(term("<b>")) == "&lt;b&gt;"
