"""What is a word in a language, and which words are suggested for one that occurs nowhere."""

from __future__ import annotations

import pytest

from vitrail.errors import DataError, UsageError
from vitrail.words import Word, absent, is_beginning, is_word, lemma, nearest

TEXTS = ["a brown dog on the grass", "a brown horse", "the grass and the brown sand"]


@pytest.mark.parametrize("text", ["dog", " Dog", "running", "brown", "3", "42", " umbrella "])
def test_english_words_and_numbers_say_something(text):
    assert is_word(text)


@pytest.mark.parametrize("text", ["", " ", "the", "with", "of", "ox", "a", "dgo", "brel", "it's", "dog.", "<s>", "3rd"])
def test_stop_words_pieces_short_words_and_marks_say_nothing(text):
    assert not is_word(text)


def test_the_nearest_words_are_those_spelled_alike():
    assert nearest("dogs", TEXTS)[0] == "dog"
    assert nearest("GRAS", TEXTS)[0] == "grass"


def test_without_a_word_spelled_alike_the_most_frequent_are_named():
    assert nearest("zzzz", TEXTS, n=2) == ["brown", "grass"]


def test_words_that_say_nothing_are_never_proposed():
    assert "the" not in nearest("the", TEXTS)


def test_the_error_for_an_absent_word_says_where_it_was_looked_for_and_what_there_is():
    error = absent(Word("dogs"), "references", TEXTS)
    assert isinstance(error, DataError)
    assert str(error) == "No sample has 'dogs' in its references. Words that do occur: dog."


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Hund", "de", True),
        ("собака", "ru", True),
        ("собакаа", "ru", False),
        ("dog", "any", True),
        ("qqq", "any", True),
        ("ab", "any", False),
        ("狗", "any", True),
        ("कुत्ता", "any", True),
        ("a-b", "any", False),
        ("", "any", False),
        ("12", "ru", True),
    ],
)
def test_words_of_other_languages_are_those_of_their_dictionary_or_anything_in_letters(text, language, expected):
    assert is_word(text, language) == expected


def test_a_language_without_a_dictionary_is_refused_and_those_with_one_are_named():
    with pytest.raises(UsageError, match=r"no dictionary of 'xx'; there are .*en, .*and `any`"):
        is_word("dog", "xx")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("todd", True),  # of toddler
        ("colo", True),
        ("blu", True),
        ("sta", True),
        ("fores", True),
        ("car", False),  # frequent, whatever begins with it
        ("moth", False),  # rarer than "mother", but it has forms of its own
        ("raisin", False),
        ("gloom", False),  # "gloomy" is made of it
        ("India", False),
        ("frisbee", False),  # nothing longer begins with it
        ("qzx", False),  # no word at all
        ("7", False),
    ],
)
def test_a_beginning_of_longer_words_is_told_from_a_rare_word(text, expected):
    assert is_beginning(text) == expected


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Dogs", "en", "dog"),
        ("children", "en", "child"),
        ("Hunde", "de", "hund"),
        ("Dogs", "any", "dogs"),
        ("7", "en", "7"),
    ],
)
def test_the_lemma_is_that_of_the_language(text, language, expected):
    assert lemma(text, language) == expected
