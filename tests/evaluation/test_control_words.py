"""Control words: the same filter, the same frequency."""

from __future__ import annotations

from vitrail import scores
from vitrail.evaluation.control_words import matched_words, random_words
from vitrail.grounding import word_reader


def test_random_words_pass_the_same_filter(lmm, activations, grounding):
    reader = word_reader(lmm, activations, 8, grounding.options)
    lists, allowed = random_words(reader, 5, seed=1), reader.allowed
    assert [len(words) for words in lists] == [10] * 5
    assert {w for words in lists for w in words} <= {w.lower() for w in allowed.values()}
    assert all(len(set(words)) == 10 for words in lists)
    assert "dog" not in {w.lower() for w in allowed.values()}
    assert scores.overlap(lists) < 0.25  # directions of either sign have little in common; positive ones share a mean
    assert lists == random_words(reader, 5, seed=1) != random_words(reader, 5, seed=2)


def test_matched_words_are_as_frequent_and_others():
    names = [f"rare{i}" for i in range(30)] + [f"often{i}" for i in range(30)]
    captions = [" ".join(names[30:])] * 50 + [" ".join(names[:30])]
    (lists,) = matched_words([["often0", "rare0", "often1"]], names, captions, 6, seed=0)
    assert len(lists) == 6
    for words in lists:
        assert [w.rstrip("0123456789") for w in words] == ["often", "rare", "often"]
        assert len(set(words)) == 3
        assert not {"often0", "rare0", "often1"} & set(words)
    assert len({tuple(words) for words in lists}) > 1
