"""Examples: which captions are chosen, and from where."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitrail.errors import DataError, UsageError
from vitrail.samples import Sample
from vitrail.samples.examples import captions_about, captions_of
from vitrail.samples.vocabulary import TOPICS
from vitrail.toyland.dataset import styled_captions


def captioned(*texts: str) -> list[Sample]:
    return [Sample(str(i), Path(), (text,)) for i, text in enumerate(texts)]


def test_captions_are_chosen_by_whole_words_in_any_case():
    found = captions_about(captioned("A RED dog", "a redder dog", "a dog in the snow"), {"red", "snow"})
    assert [e.answer for e in found] == ["A RED dog", "a dog in the snow"]
    assert all(TOPICS[topic] for topic in ("colour", "place", "sentiment"))


def test_captions_with_none_of_the_words_are_an_error_that_names_words():
    with pytest.raises(DataError, match=r"none of|No reference has any of the words sea.*dog"):
        captions_about(captioned("a dog", "a dog"), {"sea"})
    with pytest.raises(DataError, match="No words"):
        captions_about(captioned("a dog"), set())


def test_styled_captions_belong_to_their_scenes(world, samples):
    from vitrail.toyland.ground_truth import load_factors
    from vitrail.toyland.language import LEXICON, mentions

    truth, captions = load_factors(world), styled_captions(world, "place", n=2)
    assert len(captions) == 400
    for sample in samples[:50]:
        for text in captions[sample.id]:
            assert truth[sample.id]["place"] in mentions(text)["place"]
    assert set(LEXICON["place"]) == {str(row["place"]) for row in truth.values()}


def test_an_unknown_style_and_a_folder_that_is_no_toyland_are_refused(world, tmp_path):
    with pytest.raises(UsageError, match="no style 'noir'; it has plain, colour, place, mood"):
        styled_captions(world, "noir")
    with pytest.raises(UsageError, match="holds no Toyland"):
        styled_captions(tmp_path, "place")
    with pytest.raises(DataError, match="None of the 1 samples has a caption"):
        captions_of(captioned("a dog"), {"7": ["a cat"]})
