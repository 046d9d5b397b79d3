"""The page of an atlas in numbers and links."""

from __future__ import annotations

from vitrail.reports import AtlasEntry, atlas_page
from vitrail.scores import verdicts

ENTRIES = (
    AtlasEntry(
        "two words",
        1234,
        n_concepts=20,
        explained_variance=0.75,
        stability=0.96,
        agreeing=0.5,
        titles=("a <i>title</i>", "another"),
        verdict={
            "explained_variance": verdicts.explained(0.75),
            "resamples": verdicts.stability(0.96, "resamples"),
        },
        report='words/two-words "x"/report.html',
    ),
    AtlasEntry("few", 3),
    AtlasEntry(
        "plain",
        90,
        n_concepts=5,
        explained_variance=0.2,
        agreeing=1.0,
        verdict={"explained_variance": verdicts.explained(0.2)},
        report="words/plain/report.html",
    ),
)


def test_words_stand_in_their_order_with_numbers_that_can_be_sorted(tmp_path):
    page = atlas_page(ENTRIES, model="some/model", out=tmp_path / "a.html").read_text()
    assert page.index(">few<") < page.index(">plain<") < page.index(">two words<")
    assert 'data-samples="1234" data-stability="0.96" data-explained="0.75" data-agreeing="0.5"' in page
    assert 'data-samples="3" data-stability="-1" data-explained="-1" data-agreeing="-1"' in page
    assert 'href="words/two-words%20%22x%22/report.html"' in page
    assert "<i>title</i>" not in page
    assert "1,234" in page
    assert "concepts of 2 of 3 words, from 1,327 states" in page
