"""The number of concepts is chosen by what is measured on samples that were left out, and the reason is true."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import numpy as np
import pytest
from tests.stored_states import stored

from vitrail.artifacts import plain, typed
from vitrail.concepts import Choice, Judged, LearningOptions, Tried, choose, learn, learn_as, measure_all, open_concepts
from vitrail.concepts.choosing import choices_for, measure
from vitrail.scores import Estimate
from vitrail.words import Word


def tried(k: int, auroc: float, *, error: float = 0.01, penalty: float = 0.1, **others: float) -> Tried:
    """A choice without fault, but for what is said."""
    values = {
        "explained_variance": 0.9,
        "stability_seeds": 1.0,
        "stability_resamples": 0.9,
        "word_overlap": 0.2,
        "similarity": 0.1,
        "zeros": 0.5,
        "active": k / 2,
        "dead": 0,
        "duplicates": 0,
    }
    told = Estimate(auroc, error, auroc - 2 * error, auroc + 2 * error, 100)
    return Tried(k, penalty, auroc=told, words=7, **values | others)


@pytest.mark.parametrize(
    ("all_of_it", "takes", "says"),
    [
        ([tried(10, 0.7), tried(20, 0.8), tried(30, 0.75)], 1, "AUROC of .800 on samples that were left out, the best"),
        ([tried(10, 0.7), tried(20, 0.795), tried(30, 0.8)], 1, "as good as the best"),
        ([tried(20, 0.8, penalty=0.02), tried(20, 0.795, penalty=0.1)], 1, "fewer active ones"),
        (
            [tried(10, 0.7), tried(20, 0.9, stability_resamples=0.8)],
            0,
            r"1 of 2 choices were not weighed: 1 are unstable",
        ),
        ([tried(10, 0.7), tried(20, 0.9, stability_seeds=0.8)], 0, "unstable"),
        ([tried(10, 0.7), tried(20, 0.9, explained_variance=0.4)], 0, "1 explain less than half of the variance"),
        ([tried(10, 0.7), tried(20, 0.9, dead=1, duplicates=1)], 0, "1 have dead or duplicate concepts"),
        ([tried(20, 0.7), tried(40, 0.9, word_overlap=0.31)], 0, "1 share 1.5 times as many words as 20 concepts do"),
        ([tried(20, 0.7), tried(40, 0.9, word_overlap=0.29)], 1, "Word overlap|word overlap .29"),
        (
            [tried(10, 0.7, dead=9), tried(20, 0.8, dead=9)],
            1,
            "No choice is without fault; those that were weighed have dead",
        ),
        ([tried(10, 0.7, dead=9, stability_seeds=0.1), tried(20, 0.6, dead=9)], 1, "1 of 2 choices were not weighed"),
        ([tried(10, math.nan), tried(20, math.nan, explained_variance=0.93)], 1, "share of the variance of .930"),
        ([tried(10, math.nan), tried(20, math.nan, explained_variance=0.91)], 0, "as good as the best"),
        ([tried(10, 0.7, stability_seeds=math.nan, stability_resamples=math.nan)], 0, "the best of 1 choices"),
    ],
)
def test_the_choice_is_the_smallest_among_the_best_without_fault(all_of_it, takes, says):
    choice = choose(all_of_it)
    assert choice.chosen == all_of_it[takes]
    import re

    assert re.search(says, choice.reason), choice.reason


def coloured(n: int = 240, seed: int = 0) -> tuple[np.ndarray, list[set[str]]]:
    """States of which each has one of six directions, each said in a word, and four directions that nobody says."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(6, size=n)
    codes = np.zeros((n, 10))
    codes[np.arange(n), colour] = rng.uniform(3, 5, n)
    codes[:, 6:] = rng.gamma(2, 1, (n, 4)) * (rng.random((n, 4)) < 0.4)
    Z = codes @ np.linalg.qr(rng.standard_normal((24, 24)))[0][:10] + 0.05 * rng.standard_normal((n, 24)) + 3
    words = ("red", "blue", "green", "black", "white", "brown")
    return Z.astype(np.float32), [{"a", words[c], "dog"} for c in colour]


def test_enough_concepts_tell_the_words_of_captions_on_samples_left_out():
    Z, said = coloured()
    judged = Judged.of(Z, said, Word("dog"))
    assert set(judged.words.values) == {"red", "blue", "green", "black", "white", "brown"}
    few, enough = measure_all([LearningOptions(n_concepts=k, stability=1) for k in (2, 10)], judged)
    assert few.auroc.mean < 0.9 < enough.auroc.mean
    assert few.explained_variance < 0.6 < 0.9 < enough.explained_variance
    assert choose([few, enough]).chosen == enough


def test_samples_that_were_left_out_judge_and_not_those_that_were_learned_from():
    rng = np.random.default_rng(0)
    Z = rng.standard_normal((60, 40)).astype(np.float32)
    said = [{"red" if i else "blue"} for i in rng.integers(2, size=60)]
    noise = measure(LearningOptions(n_concepts=30, penalty=0.1, stability=0), Judged.of(Z, said, Word("dog")))
    assert noise.auroc.low < 0.5 < 0.65  # of noise, 30 concepts of the samples themselves have one that tells: .7
    assert noise.auroc.mean < 0.65
    assert noise.explained_variance < 0.5  # and explain 90 % of them


def test_a_word_is_judged_only_where_every_part_has_it_and_lacks_it():
    Z = np.random.default_rng(0).standard_normal((40, 4)).astype(np.float32)
    common = [{"a", "red"} if i % 2 else {"a"} for i in range(40)]
    rare = [said | {"odd"} if i < 5 else said for i, said in enumerate(common)]
    assert Judged.of(Z, rare, Word("dog")).words.values == ("red",)


def test_sizes_leave_every_concept_samples_and_a_given_penalty_stays():
    Z = np.ones((170, 3), np.float32)
    tried = choices_for(LearningOptions(n_concepts="auto", penalty=0.07), Z)
    assert [(c.n_concepts, c.penalty) for c in tried] == [(10, 0.07), (20, 0.07)]
    assert [c.n_concepts for c in choices_for(LearningOptions(n_concepts="auto", method="pca"), Z[:9])] == [1]
    assert {c.penalty for c in choices_for(LearningOptions(n_concepts="auto", form="paper"), Z)} == {0.035, 0.17, 0.87}


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """Concepts whose number was chosen, of states whose captions all say the same."""
    folder = tmp_path_factory.mktemp("chosen")
    activations = stored(folder / "activations", coloured()[0], (100, 140))
    return activations, learn(activations, n_concepts="auto", stability=1, out=folder / "concepts")


def test_a_manifest_keeps_what_was_asked_for_the_choice_and_its_table(chosen):
    activations, concepts = chosen
    opened = open_concepts(concepts.folder, activations)
    assert opened.parameters["n_concepts"] == "auto"
    assert len(opened) == opened.choice.chosen.n_concepts == opened.options.n_concepts
    assert opened.options.penalty == opened.choice.chosen.penalty
    assert [(t.n_concepts, t.penalty) for t in opened.choice.tried] == [
        (k, p) for k in (10, 20, 30) for p in (0.005, 0.02, 0.1)
    ]
    assert opened.choice.chosen in opened.choice.tried
    assert opened.choice.reason in typed(plain(opened.choice), Choice).reason


def test_a_finished_choice_is_not_made_again(chosen, monkeypatch):
    activations, concepts = chosen
    monkeypatch.setattr("vitrail.concepts.learning.measure_all", None)
    again = learn(activations, n_concepts="auto", stability=1, out=concepts.folder)
    assert again.choice.reason == concepts.choice.reason


def test_the_options_of_chosen_concepts_learn_the_same_again(chosen, tmp_path):
    activations, concepts = chosen
    again = learn_as(activations, concepts.options, out=tmp_path / "again")
    assert again.choice is None
    np.testing.assert_array_equal(again.U, concepts.U)


def test_the_overlap_of_words_is_weighed_where_it_is_known(tmp_path):
    activations = stored(tmp_path / "activations", coloured(90)[0], (90,))
    options = LearningOptions(n_concepts="auto", penalty=0.1, stability=1)
    made = learn_as(activations, options, out=tmp_path / "c", overlap_of=lambda learner: len(learner.components_) / 100)
    assert [t.word_overlap for t in made.choice.tried] == [0.1]


def test_among_named_concepts_the_number_of_the_others_is_chosen(tmp_path):
    Z, said = coloured()
    activations = stored(tmp_path / "activations", Z, (240,))
    labels = {"red": [f"s{i}" for i, words in enumerate(said) if "red" in words]}
    options = LearningOptions(n_concepts="auto", penalty=0.1, stability=1)
    made = learn_as(activations, options, out=tmp_path / "c", labels=labels)
    assert len(made) == 1 + made.choice.chosen.n_concepts
    assert made.learner.n_named == 1


def test_what_was_not_measured_stays_unknown_on_disk():
    one = tried(3, math.nan, word_overlap=math.nan, penalty=math.nan)
    again = typed(plain(Choice(one, "so", (one,))), Choice)
    assert math.isnan(again.chosen.penalty)
    assert again.of(LearningOptions(n_concepts="auto")) == LearningOptions(n_concepts=3)
    assert dataclasses.asdict(replace(again.chosen, n_concepts=4))["n_concepts"] == 4
