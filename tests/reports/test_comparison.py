"""The page of a comparison."""

from __future__ import annotations

import dataclasses
import html
import re

import numpy as np
import pytest

from vitrail.activations import Activations
from vitrail.reports.comparison import comparison_page
from vitrail.reports.flow import flow_picture
from vitrail.reports.terms import SCORES
from vitrail.words import Word


@pytest.fixture(scope="module")
def page(comparison, before_and_after, tmp_path_factory) -> str:
    return comparison_page(
        comparison, *before_and_after, out=tmp_path_factory.mktemp("page") / "report.html"
    ).read_text()


def test_the_page_shows_every_concept_before_shifted_and_after(page, comparison):
    assert page.count('<article class="card three') == 6
    for c in comparison.concepts:
        assert all(f">{w}</li>" in page for w in {*c.words, *c.words_shifted, *c.words_match})
    assert page.count("data:image/jpeg;base64,") >= 6
    assert 'aria-label="how the samples of 6 concepts before go to 6 concepts after"' in page


def test_concepts_have_the_titles_of_their_studies(page, comparison, before_and_after):
    a, b = ([html.escape(title) for title in study.titles] for study in before_and_after)
    for c in comparison.concepts:
        assert re.search(rf'id="name-{c.index}">.*?<span dir="auto">{re.escape(a[c.index])}</span></h3>', page)
        assert f'concept {c.match}, <span dir="auto">{b[c.match]}</span></h4>' in page
    for k, title in enumerate(a):
        assert f">{k}  {title}</text>" in page  # in the picture of the flow


def test_the_page_asks_nothing_of_any_other(page):
    assert not re.search(r'(?:src|href)="(?!#|data:)', page.replace(f'href="{SCORES}', 'href="'))
    assert "url(http" not in page
    assert "None" not in re.sub(r"<pre.*?</pre>|<dl class=\"pairs\".*?</dl>", "", page, flags=re.DOTALL)


def test_the_page_says_how_to_make_the_comparison_again(page, comparison):
    options = comparison.options
    assert f"estimator=&#39;{options.estimator}&#39;" in page
    assert "vitrail.ChangeRules(words=50.0" in page


def test_a_concept_without_match_has_dashes_for_figures(comparison, before_and_after, tmp_path):
    nothing = dict.fromkeys(("cosine", "t_overlap_before", "t_overlap_after", "cosine_gain", "magnitude"), np.nan)
    lonely = dataclasses.replace(
        comparison.concepts[0], match=None, words_match=[], t_overlap_interval=(np.nan, np.nan), **nothing
    )
    changed = dataclasses.replace(comparison, concepts=(lonely, *comparison.concepts[1:]))
    text = comparison_page(changed, *before_and_after, out=tmp_path / "r.html").read_text()
    card = re.search(r'<article class="card three[^>]*id="concept-0".*?</article>', text, re.DOTALL).group()
    assert "No match" in card
    assert 'data-gain="0"' in card
    assert "– → <b>–</b>" in card
    assert "nan" not in re.sub(r"base64,[^\"]*", "", card)


def test_hostile_words_and_captions_do_no_harm_on_the_page(comparison, before_and_after, tmp_path):
    a, b = before_and_after
    evil = "<script>alert(1)</script>"
    rows = [dataclasses.replace(row, text=evil, start=0, end=3) for row in a.activations.rows]
    side = Activations(a.activations.folder, a.activations.manifest)
    side.__dict__["rows"] = rows

    def hostile(concepts):
        return tuple(dataclasses.replace(c, words=[evil, *c.words[1:]]) for c in concepts)

    found = dataclasses.replace(
        comparison, concepts=hostile(comparison.concepts), after=hostile(comparison.after), word=Word(evil)
    )
    path = comparison_page(found, dataclasses.replace(a, activations=side), b, out=tmp_path / "r.html")
    assert "<script>alert" not in path.read_text()


def test_ribbons_are_as_wide_as_their_samples_and_links_are_strong():
    flow, linked = np.array([[30, 0], [10, 60]]), np.array([[True, False], [False, True]])
    svg = flow_picture(flow, linked, ["a", "b"], ["c", "d"], emerged=[1])
    assert svg.count("<path") == 3
    assert svg.count("ribbon tone-0 linked") == 1
    assert "0 → 0: 30 samples" in svg
    assert "d (new)" in svg
    assert flow_picture(np.zeros((2, 2), int), linked, ["", ""], ["", ""]) == ""
