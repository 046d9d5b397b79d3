"""A word is found in text, between word boundaries, in any of its forms."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vitrail.errors import UsageError
from vitrail.words import Match, Word, spoken, unified


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        (Word("cat"), "a cat on a mat", ("cat", 2)),
        (Word("cat"), "cat", ("cat", 0)),
        (Word("cat"), "what a cat!", ("cat", 7)),
        (Word("cat"), "a 'cat', maybe", ("cat", 3)),
        (Word("cat"), "a category of its own", None),
        (Word("cat"), "a wildcat", None),
        (Word("cat"), "cats", None),
        (Word("cat"), "cat_2 and 2cat", None),
        (Word("cat"), "", None),
        (Word("cat"), "a category, then a cat", ("cat", 19)),
        (Word("cat"), "a cat and a cat", ("cat", 2)),
        (Word("cat"), "A Cat, a CAT", ("Cat", 2)),
        (Word("cat", match_case=True), "A Cat, a CAT, a cat", ("cat", 16)),
        (Word("cat", forms=("kitten", "cats")), "two cats", ("cats", 4)),
        (Word("cat", forms=("kitten",)), "a kitten, a cat", ("kitten", 2)),
        (Word("hot dog"), "a hot dog in a bun", ("hot dog", 2)),
        (Word("hot dog"), "a hot, tired dog", None),
        (Word("dog", forms=("dog house",)), "the dog house", ("dog house", 4)),
        (Word("hot", forms=("hot dog",)), "a hot dog", ("hot dog", 2)),
        (Word("a.c"), "abc a.c", ("a.c", 4)),
        (Word("été"), "cet ÉTÉ-là", ("ÉTÉ", 4)),
        (Word("ете"), "летен", None),
        (Word("猫"), "一只 猫 在", ("猫", 3)),
    ],
)
def test_a_word_is_found_between_word_boundaries_in_any_stated_form(word, text, found):
    match = word.find(text)
    assert (match and (match.form, match.start)) == found
    if match:
        assert text[match.start : match.end] == match.form


@pytest.mark.parametrize("text", ["", " ", " dog", "dog ", "\tdog"])
def test_a_word_without_letters_or_with_outer_spaces_is_refused(text):
    with pytest.raises(UsageError, match="must not be empty or begin or end with a space"):
        Word(text)
    with pytest.raises(UsageError, match="must not be empty or begin or end with a space"):
        Word("dog", forms=(text,))


def belongs_to_a_word(character: str) -> bool:
    mark = unicodedata.category(character).startswith("M") and ord(character) < 0x10000
    return character.isalnum() or character == "_" or mark


@given(st.text(max_size=20), st.text(max_size=20))
@example("", "\u0300")  # an accent belongs to the letter before it
def test_a_match_has_no_word_character_on_either_side(before, after):
    text = f"{before}dog{after}"
    match = Word("dog", match_case=True).find(text)
    if not any(map(belongs_to_a_word, before[-1:] + after[:1])):
        assert match
    if match:
        outside = text[: match.start][-1:] + text[match.end :][:1]
        assert not any(map(belongs_to_a_word, outside))


#: A word, and texts that have it in another spelling.
EQUAL = {
    "café": ["a cafe\u0301.", "CAFÉ", "CAFE\u0301"],
    "cafe\u0301": ["a café."],
    "ế": ["e\u0302\u0301", "ê\u0301", "Ế"],
    "ộ": ["o\u0323\u0302", "o\u0302\u0323", "ọ\u0302", "ô\u0323"],
    "Ångström": ["\u212bngstro\u0308m", "A\u030angström"],
    "한국": ["\u1112\u1161\u11ab\u1100\u116e\u11a8", "\ud558\u11ab국"],
    "が": ["か\u3099"],
    "t-shirt": ["a t\u2011shirt", "a t\u2010shirt", "a t–shirt"],
    "rock'n'roll": ["rock’n’roll", "rock‘n’roll", "rock\u02bcn\u02bcroll"],
    "hot dog": ["a hot\ndog", "a hot  dog", "hot\u00a0dog", "hot\u3000dog", "hot\r\n\tdog"],
    "hot\tdog": ["a hot dog"],
}


@pytest.mark.parametrize(("word", "text"), [(word, text) for word, texts in EQUAL.items() for text in texts], ids=ascii)
def test_a_word_is_found_in_every_spelling_that_is_equal(word, text):
    match = Word(word).find(text)
    assert match is not None
    assert text[match.start : match.end] == match.form
    assert unified(match.form).lower() == unified(word).lower()


@pytest.mark.parametrize(
    ("word", "text"),
    [("か", "か\u3099"), ("か", "が"), ("하", "한"), ("ô", "ộ"), ("o", "o\u0323"), ("t-shirt", "t—shirt"), ("e", "é")],
    ids=ascii,
)
def test_another_letter_is_not_equal(word, text):
    assert Word(word).find(text) is None


def test_words_in_two_spellings_are_one_word():
    assert Word("cafe\u0301", ("hot\ndog",)) == Word("café", ("hot dog",))
    assert spoken("Cafe\u0301 café") == ["café", "café"]


LETTERS = st.text(
    st.characters(categories=["L"], max_codepoint=0x2FFF) | st.characters(codec="utf-8", categories=["Mn"])
)


@given(LETTERS.filter(lambda w: w.strip() and not unicodedata.combining(w[0])), st.sampled_from(["NFC", "NFD"]))
def test_a_word_is_found_in_its_normal_forms(word, form):
    text = unicodedata.normalize(form, word)
    match = Word(word, match_case=True).find(f"{text} {text}")
    assert match == Match(text, 0, len(text))


def test_a_match_is_a_form_and_its_place():
    assert Word("dog").find("a Dog") == Match("Dog", 2, 5)


@pytest.mark.parametrize(
    ("word", "text", "found"),
    [
        ("狗", "一只狗在草地上", True),  # Chinese has no spaces
        ("いぬ", "しろいいぬがいる", True),
        ("หมา", "มีหมาอยู่", True),
        ("कुत्त", "घास पर कुत्ता", False),  # the vowel sign belongs to the word
        ("कुत्ता", "घास पर कुत्ता", True),
        ("собак", "собака", False),
        ("cafe", "a cafe\u0301", False),  # an accent of its own
    ],
)
def test_a_whole_word_is_one_by_the_rules_of_its_script(word, text, found):
    assert (Word(word).find(text) is not None) == found
