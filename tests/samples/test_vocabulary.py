"""Words in data: lists, counts, nouns, inflections, filters; also where words are written without Latin letters."""

from __future__ import annotations

import sys

import pytest
from PIL import Image

from vitrail.errors import DataError, UsageError
from vitrail.samples import Sample
from vitrail.samples.vocabulary import (
    TOPICS,
    counts,
    frequent_nouns,
    frequent_words,
    having,
    inflections,
    listed,
    with_ids,
)


def said(*texts: str) -> list[Sample]:
    return [Sample(str(i), Image.new("RGB", (2, 2)), (text,)) for i, text in enumerate(texts)]


DATA = [
    *said("a black dog runs on the grass", "two Dogs and a cat", "the black cat, black as night"),
    Sample("q", Image.new("RGB", (2, 2)), ("a red bus",), question="what colour?", answers=("black", "black")),
]


def test_a_list_of_words_is_a_topic_a_text_or_a_collection():
    assert listed("colour") == TOPICS["colour"]
    assert listed("dog, hot dog") == {"dog", "hot dog"}
    assert listed(["dog"]) == {"dog"}
    with pytest.raises(UsageError, match="one of the lists colour, place, sentiment"):
        listed(" , ")


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_a_topics_words_are_plain_words(topic):
    assert len(TOPICS[topic]) > 20
    assert all(word.isalpha() and word.islower() for word in TOPICS[topic])


def test_samples_are_counted_not_occurrences_and_answers_where_there_is_a_question():
    assert counts(DATA, ["black", "dog", "bus", "Cat"]) == {"black": 3, "cat": 2, "dog": 1, "bus": 0}


def test_whole_words_are_counted_the_longest_first():
    data = said("a hot dog", "a hotdog", "a dog")
    assert counts(data, ["dog", "hot dog"]) == {"dog": 1, "hot dog": 1}


def test_samples_that_hold_a_word_are_chosen():
    assert [s.id for s in having(DATA, "dog,dogs")] == ["0", "1"]
    assert [s.id for s in having(DATA, "colour")] == ["0", "2", "q"]
    with pytest.raises(DataError, match=r"No sample has any of the words doge\. Words that do occur: dog"):
        having(DATA, ["doge"])


def test_samples_are_chosen_by_id_in_their_own_order():
    assert [s.id for s in with_ids(DATA, ["2", "0"])] == ["0", "2"]
    with pytest.raises(DataError, match="1 of 2 ids belong to no sample, such as 99"):
        with_ids(DATA, ["0", "99"])


def test_nouns_are_told_from_adjectives_and_verbs_by_their_neighbours():
    pytest.importorskip("lemminflect")
    data = said(
        "the black dog is running in the street",
        "two dogs in front of a red bus",
        "children are running, a child is happy",
    )
    assert frequent_nouns(data) == {"dog": 2, "street": 1, "bus": 1, "child": 1}
    assert frequent_nouns(data, 1) == {"dog": 2}


def test_a_noun_is_counted_wherever_it_is_said_once_it_is_known_for_one():
    data = said("a picture of a dog", "the picture shows a dog close to a house")
    assert frequent_nouns(data) == {"picture": 2, "dog": 2, "house": 1}


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("dog", {"dogs"}),
        ("dogs", {"dog"}),
        ("child", {"children"}),
        ("hot dog", {"hot dogs"}),
        ("happy", {"happier", "happiest"}),
        ("xqzt", set()),
    ],
)
def test_inflections_are_those_of_the_noun_or_else_of_the_adjective(word, expected):
    pytest.importorskip("lemminflect")
    assert set(inflections(word)) == expected


def test_without_lemminflect_the_error_names_what_to_install(monkeypatch):
    from vitrail.samples import vocabulary

    vocabulary._grammar.cache_clear()
    monkeypatch.setitem(sys.modules, "lemminflect", None)
    with pytest.raises(UsageError, match=r"pip install 'vitrail\[words\]'"):
        inflections("dog")
    vocabulary._grammar.cache_clear()


# ---- other scripts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "word", "held"),
    [
        (["собака бежит по снегу", "Собака и кошка", "собаковод"], "собака", ["0", "1"]),
        (["ένας σκύλος στο χιόνι", "μια γάτα"], "σκύλος", ["0"]),
        (["كلب على العشب", "قطة"], "كلب", ["0"]),
        (["घास पर कुत्ता", "बिल्ली"], "कुत्ता", ["0"]),
        (["눈 위의 개", "고양이"], "개", ["0"]),
    ],
    ids=["Russian", "Greek", "Arabic", "Hindi", "Korean"],
)
def test_words_of_other_scripts_are_found_as_whole_words(texts, word, held):
    data = said(*texts)
    assert [s.id for s in having(data, [word])] == held
    assert counts(data, [word])[word] == len(held)


GERMAN = ["ein Hund und eine Katze auf der Wiese", "der Hund rennt", "zwei Hunde im Schnee, 2023", "Hund"]


def test_frequent_words_of_another_language_are_those_of_its_dictionary_that_are_not_everywhere():
    found = frequent_words(said(*GERMAN), 100, "de")
    assert found.pop("hund") == 3
    assert found == dict.fromkeys(["katze", "wiese", "rennt", "zwei", "hunde", "schnee"], 1)
    assert frequent_words(said(*GERMAN), 1, "de") == {"hund": 3}


def test_frequent_words_without_a_dictionary_are_all_that_is_in_letters():
    assert frequent_words(said("काला कुत्ता", "कुत्ता और बिल्ली")) == {"कुत्ता": 2, "काला": 1, "बिल्ली": 1}
    with pytest.raises(UsageError, match=r"There is no dictionary of 'xx'; there are .*de.*`any` for none"):
        frequent_words(said(*GERMAN), 10, "xx")


def test_what_does_occur_is_named_in_the_captions_own_script():
    with pytest.raises(DataError, match=r"Words that do occur: собака\.$"):
        having(said("чёрная собака"), ["сабака"])
    with pytest.raises(DataError, match="Words that do occur: чёрная, собака"):
        having(said("чёрная собака"), ["dog"])
