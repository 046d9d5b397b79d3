"""Scores of texts: against the published code's figures, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vitrail.errors import DataError
from vitrail.scores.texts import bleu, cider_d, distinct, normal_answer, tokens, vqa_accuracy

REFERENCES = [
    ["a dog on the grass", "a brown dog runs"],
    ["two cats in a room"],
    ["the bus is red", "a red bus on the street", "a big bus"],
]
CANDIDATES = ["a brown dog on the grass", "a cat in a room", "a red bus"]


def test_cider_is_that_of_the_published_code():
    # computed once by pycocoevalcap 1.2, `Cider().compute_score`, on the same tokens
    published = [4.817639208853427, 3.526709006307398, 2.526976947437256]
    np.testing.assert_allclose(cider_d(CANDIDATES, REFERENCES), published, rtol=1e-9)


def test_what_was_written_by_people_has_the_highest_cider():
    texts = [refs[0] for refs in REFERENCES]
    assert cider_d(texts, [[t] for t in texts]) == pytest.approx([10.0] * 3)
    assert cider_d(["x y z"] * 3, REFERENCES).tolist() == [0.0] * 3


def test_who_repeats_a_word_is_paid_for_it_once():
    # by hand: of four orders only the first matches, min(2, 1)·1 of norms 2 and 1; one bigram too long, σ = 6
    once, twice = cider_d(["dog", "cat cat"], [["dog"], ["cat"]])
    assert once == pytest.approx(10 / 4)
    assert twice == pytest.approx(10 / 4 * 0.5 * np.exp(-1 / 72))


def test_cider_needs_two_images_with_references():
    with pytest.raises(DataError, match="two images"):
        cider_d(["a dog"], [["a dog"]])
    with pytest.raises(DataError, match="reference"):
        cider_d(["a dog", "a cat"], [["a dog"], []])


def test_bleu_counts_what_any_reference_has():
    assert bleu(["a dog on the grass", "two cats in a room"], REFERENCES[:2]) == pytest.approx(100.0)
    assert bleu(CANDIDATES, REFERENCES) == pytest.approx(54.413074047685974)  # by sacreBLEU 2.6.0, once
    assert bleu(["x", "y"], REFERENCES[:2]) == 0.0


def test_captions_are_compared_by_words():
    assert tokens("A dog's ball, on the GRASS .") == ["a", "dog's", "ball", "on", "the", "grass"]


def test_those_who_say_the_same_are_not_distinct():
    assert distinct(["a dog runs", "a dog runs"]) == 0.5
    assert distinct(["a dog", "two cats"]) == 1.0
    assert distinct([]) == 0.0
    assert distinct(["a dog", "the dog"]) == 1.0  # pairs of words: the last word of a text begins none


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Yes.", "yes"),
        ("The dog", "dog"),
        ("Two", "2"),
        ("3.5", "3.5"),
        ("1,000", "1000"),
        ("black/white", "black white"),
        ("none", "0"),
        ("  it's  ", "it's"),
    ],
)
def test_answers_are_compared_as_the_challenge_does(text, normal):
    assert normal_answer(text) == normal


@pytest.mark.parametrize(("same", "accuracy"), [(0, 0.0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1.0), (10, 1.0)])
def test_the_accuracy_is_the_mean_over_nine_of_ten_people(same, accuracy):
    assert vqa_accuracy("Two", ["2"] * same + ["3"] * (10 - same)) == pytest.approx(accuracy)


def test_with_few_people_the_accuracy_is_their_share():
    assert vqa_accuracy("red", ["red", "blue"]) == 0.5
    with pytest.raises(DataError, match="at least one answer"):
        vqa_accuracy("red", [])
