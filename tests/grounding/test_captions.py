"""A concept is named by what its images share: caption words that stand out, tested against the other samples."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.stats import chi2_contingency, fisher_exact

from vitrail.grounding import CaptionWord, GroundedConcept, GroundedWord
from vitrail.grounding.captions import Captions, _likelihood_ratio
from vitrail.grounding.run import is_mean
from vitrail.learners import make_learner
from vitrail.words import Word

DOG = Word("dog")


def captions(n: int, inside: int) -> list[list[str]]:
    """The first `inside` samples are of black dogs on grass, the others of white ones; every other one has a ball."""
    ball = ["", " with a ball"]
    return [[f"a {'black' if i < inside else 'white'} dog on the grass{ball[i % 2]}"] for i in range(n)]


def test_the_words_that_the_strongest_samples_share_are_found_with_their_counts_and_p():
    activations = np.linspace(1, 0, 100) + 0.01
    found = Captions(captions(100, 10), DOG).of(activations)
    assert [w.word for w in found] == ["black dog"]
    assert (found[0].inside, found[0].outside) == (1.0, 0.0)
    p = fisher_exact([[10, 0], [0, 90]], alternative="greater").pvalue
    assert p < found[0].q < 4.001 * p  # corrected for the four words that were tested


def test_what_all_samples_share_and_what_is_there_by_chance_does_not_name_a_concept():
    rng = np.random.default_rng(0)
    named = 0
    for _ in range(100):
        named += len(Captions(captions(60, 0), DOG).of(rng.random(60))) > 0
    assert named <= 8


def test_the_order_is_that_of_the_likelihood_ratio():
    inside, both = np.array([9, 5, 1]), np.array([12, 30, 40])
    expected = [
        chi2_contingency([[a, 20 - a], [b - a, 80 - (b - a)]], correction=False, lambda_="log-likelihood").statistic
        for a, b in zip(inside, both, strict=True)
    ]
    found = _likelihood_ratio(inside, both, 20, 100)
    assert found[0] == pytest.approx(expected[0])
    assert found.tolist()[1:] == [0, 0]  # not more frequent inside


def test_a_word_that_stands_before_the_word_of_interest_is_shown_with_it():
    texts = [["a hot dog on a plate"] if i < 12 else ["a dog on the grass"] for i in range(80)]
    found = Captions(texts, DOG).of(np.arange(80, 0, -1.0))
    assert found[0].word in ("hot dog", "plate")
    assert {w.word for w in found} == {"hot dog", "plate"}


def test_without_enough_samples_or_captions_nothing_is_said():
    assert Captions(captions(8, 4), DOG).of(np.arange(8, 0, -1.0)) == ()
    assert Captions([[] for _ in range(50)], DOG).of(np.arange(50, 0, -1.0)) == ()
    assert Captions(captions(50, 10), DOG).of(np.zeros(50)) == ()


def test_captions_name_a_concept_before_decoded_words_and_a_disagreement_is_told():
    decoded = tuple(GroundedWord(w, i, 1.0) for i, w in enumerate(("puppy", "horse", "bear", "cat")))
    bare = GroundedConcept(0, decoded, (), 0.5)
    assert (bare.title, bare.disagrees) == (("puppy", "horse", "bear"), False)
    shared = dataclasses.replace(bare, captions=(CaptionWord("hot dog", 1.0, 0.1, 0.0),))
    assert (shared.title, shared.disagrees) == (("hot dog",), True)
    same = dataclasses.replace(bare, captions=(CaptionWord("bear", 1.0, 0.1, 0.0),))
    assert not same.disagrees


def test_inflections_are_one_word_in_titles_and_where_words_are_compared():
    decoded = tuple(GroundedWord(w, i, 1.0) for i, w in enumerate(("jump", "jumping", "horses", "snow")))
    bare = GroundedConcept(0, decoded, (), 0.5)
    assert bare.title == ("jump", "horses", "snow")
    caption = dataclasses.replace(bare, captions=(CaptionWord("jumps", 1.0, 0.1, 0.0),))
    assert (caption.title, caption.disagrees) == (("jumps",), False)
    assert dataclasses.replace(bare, captions=(CaptionWord("black dog", 1.0, 0.1, 0.0),)).disagrees
    assert not dataclasses.replace(bare, captions=(CaptionWord("snow dog", 1.0, 0.1, 0.0),)).disagrees


def test_a_concept_that_is_the_mean_of_all_states_is_told_apart(concepts):
    rng = np.random.default_rng(0)
    Z = 50 + rng.standard_normal((40, concepts.U.shape[1]))
    learner = make_learner("semi-nmf", 2, form="paper")
    learner.components_ = np.array([Z.mean(0), rng.standard_normal(Z.shape[1])], np.float32)
    both = dataclasses.replace(concepts, learner=learner, V=np.ones((40, 2), np.float32))
    assert is_mean(both, Z).tolist() == [True, False]
    rare = dataclasses.replace(both, V=np.eye(40, 2, dtype=np.float32))
    assert is_mean(rare, Z).tolist() == [False, False]
    prototypes = make_learner("kmeans", 2)
    prototypes.components_ = learner.components_
    assert is_mean(dataclasses.replace(both, learner=prototypes), Z).tolist() == [False, False]
