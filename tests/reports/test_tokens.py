"""The page of an image's tokens."""

from __future__ import annotations

import re
from dataclasses import replace

from PIL import Image

from vitrail.grounding import GroundedWord
from vitrail.maps import ImageToken, ImageWords
from vitrail.reports.tokens import sheets, tokens_page
from vitrail.samples import thumbnail

HALVES = [(0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)]


def words(*texts: str) -> tuple[GroundedWord, ...]:
    return tuple(GroundedWord(text, i, 9.5 - i) for i, text in enumerate(texts))


def found(*tokens: ImageToken) -> ImageWords:
    return ImageWords("dog.png", 5, "/some/where/lens", tokens, thumbnail(Image.new("RGB", (64, 32))))


def test_each_word_stands_over_its_piece_and_the_page_is_one_file(tmp_path):
    tokens = [ImageToken(HALVES[0], words("dog", "brown")), ImageToken(HALVES[1], words("grass"))]
    page = tokens_page(found(*tokens), out=tmp_path / "page.html").read_text()
    cells = re.findall(r'<span class="piece (tone-\d) (s\d+)" title="([^"]*)">(\w+)</span>', page)
    assert [(tone, said, word) for tone, _, said, word in cells] == [
        ("tone-0", "dog 9.5, brown 8.5", "dog"),
        ("tone-1", "grass 9.5", "grass"),
    ]
    for (_, name, *_), left in zip(cells, ("0.00", "50.00"), strict=True):
        assert f".{name}:not(#_){{left:{left}%;top:0.00%;width:50.00%;height:100.00%}}" in page
    assert "<b>the lens lens</b>" in page
    assert "/some/where" not in page
    assert not re.search(r'(?:src|href)="(?!#|data:)|style="|onclick', page)
    assert tokens_page(found(*tokens), out=tmp_path / "again.html").read_text() == page


def test_hostile_words_and_names_stay_text_and_a_token_may_have_no_word(tmp_path):
    hostile = "<script>alert(1)</script>"
    some = found(ImageToken(HALVES[0], words(hostile)), ImageToken(HALVES[1], ()))
    page = tokens_page(replace(some, image=hostile), out=tmp_path / "page.html").read_text()
    assert hostile not in page
    assert page.count("<script>") == 1


def test_tokens_that_lie_over_each_other_are_on_sheets_of_their_own():
    """As where a model sees an image as a whole, and in tiles."""
    boxes = [(0.0, 0.0, 1.0, 1.0), *HALVES, (0.0, 0.0, 0.5, 0.5), (0.5, 0.5, 1.0, 1.0)]
    assert sheets([ImageToken(box, ()) for box in boxes]) == [[0], [1, 2], [3, 4]]
    assert sheets([]) == []
