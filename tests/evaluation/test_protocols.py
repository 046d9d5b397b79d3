"""The two protocols by hand and on planted words; controls that control."""

from __future__ import annotations

import numpy as np
import pytest
from tests.evaluation.fakes import photo

from vitrail import scores
from vitrail.evaluation.control_words import Controls, NoiseDictionary
from vitrail.evaluation.protocols import ranked, score_concepts, score_images


class Planted:
    """A measure by hand: a sample is about the word of its number; a list scores 1 for having it, plus noise."""

    name = "planted"

    def __init__(self, topics: int, noise: float = 0.0) -> None:
        self.topics, self.noise = topics, noise

    def words(self, samples, lists) -> np.ndarray:
        rng = np.random.default_rng(len(lists))
        hits = [
            [float(f"topic{int(s.id) % self.topics}" in words) if words else np.nan for words in lists] for s in samples
        ]
        return np.array(hits, float).reshape(len(samples), len(lists)) + self.noise * rng.random(
            (len(samples), len(lists))
        )

    def captions(self, samples) -> np.ndarray:
        return np.full(len(samples), 2.0)


RANDOM = [[f"topic{i}"] for i in range(40)]


def test_concepts_whose_words_fit_their_images_are_told_from_chance():
    lists = [[f"topic{k}"] for k in range(6)]
    own = [[photo(k + 6 * i) for i in range(3)] for k in range(6)]
    matched = [[[f"topic{k + 1 + j}"] for j in range(5)] for k in range(6)]
    found = score_concepts(Planted(6), lists, own, Controls(RANDOM, matched))
    assert found.units == (1.0,) * 6
    assert found.score.mean == 1
    assert found.against["random"].level.mean == pytest.approx(1 / 40)
    assert found.unit_random == pytest.approx([1 / 40] * 6)
    assert found.unit_p == pytest.approx([2 / 41] * 6)
    assert found.against["shuffled"].level.mean == 0
    assert found.against["frequency"].level.mean == 0
    assert found.against["captions"].gain.mean == -1
    assert all(found.against[name].p < 0.01 for name in ("random", "frequency", "shuffled"))


def test_equally_frequent_words_are_scored_on_the_images_of_the_concept_they_stand_for():
    lists, own = [["nothing"]] * 6, [[photo(k + 6 * i) for i in range(3)] for k in range(6)]
    found = score_concepts(Planted(6), lists, own, Controls(RANDOM, [[[f"topic{k}"], ["nothing"]] for k in range(6)]))
    assert found.against["frequency"].level.mean == 0.5
    shifted = score_concepts(Planted(6), lists, own, Controls(RANDOM, [[[f"topic{(k + 1) % 6}"]] for k in range(6)]))
    assert shifted.against["frequency"].level.mean == 0


def test_the_concepts_of_noise_images_are_held_against_those_of_images():
    lists = [[f"topic{k}"] for k in range(6)]
    own = [[photo(k + 6 * i) for i in range(3)] for k in range(6)]
    words = [["topic0"], ["nothing"], ["topic2"], []]
    pictures = [[photo(0), photo(6)], [photo(1)], [photo(2), photo(3)], []]

    def against(words, pictures):
        noise = NoiseDictionary(words, pictures, np.zeros((0, len(words))))
        return score_concepts(Planted(6), lists, own, Controls(RANDOM, noise=noise)).against["noise"]

    found = against(words, pictures)
    assert (found.level.mean, found.level.n) == (0.5, 3)  # 1, 0 and one half; the last says nothing
    assert found.gain.mean == 0.5
    assert found.p == pytest.approx(scores.unpaired_p(np.ones(6), np.array([1, 0, 0.5])))
    alike = against(lists, own)
    assert (alike.gain.mean, alike.p) == (0, 1)


def test_words_of_other_images_are_not():
    lists = [[f"topic{(k + 1) % 6}"] for k in range(6)]
    own = [[photo(k + 6 * i) for i in range(3)] for k in range(6)]
    found = score_concepts(Planted(6, noise=0.01), lists, own, Controls(RANDOM))
    assert found.score.mean < 0.02
    assert found.against["random"].p > 0.05
    assert found.against["shuffled"].p > 0.5


def test_a_concept_without_words_or_images_counts_for_nothing():
    found = score_concepts(Planted(3), [["topic0"], [], ["topic2"]], [[photo(0)], [photo(1)], []], Controls(RANDOM))
    assert found.units[0] == 1
    assert np.isnan(found.units[1:]).all()
    assert found.score.n == 1
    assert np.isnan(found.unit_q[1:]).all()


def test_random_words_are_as_many_as_a_concept_has():
    class Length(Planted):
        def words(self, samples, lists) -> np.ndarray:
            return np.array([[float(len(words)) for words in lists] for _ in samples])

    long = [[f"w{i}" for i in range(5)] for _ in range(7)]
    found = score_concepts(Length(1), [["a", "b"], ["a", "b", "c"]], [[photo(0)], [photo(1)]], Controls(long))
    assert found.unit_random == (2, 3)


def test_the_most_active_concepts_are_by_value_and_inactive_ones_say_nothing():
    V = np.array([[0.1, 0.9, 0.5], [-2.0, 0.0, 0.3], [0.0, 0.0, 0.0]])
    per_concept = np.array([[1.0, 2.0, 4.0]] * 3)
    tops = ranked(V, 3)
    assert tops.order[0].tolist() == [1, 2, 0]
    np.testing.assert_allclose(tops.top(per_concept, 1), [2, 4, np.nan])
    np.testing.assert_allclose(tops.top(per_concept, 3), [7 / 3, 4, np.nan])
    np.testing.assert_allclose(tops.top(per_concept, 1, np.array([1, 0, 2])), [4, 2, np.nan])


def test_test_images_by_hand_and_against_chance():
    n, k = 60, 6
    samples = [photo(i) for i in range(n)]
    V = np.eye(k)[np.arange(n) % k] + 0.01
    lists = [[f"topic{j}"] for j in range(k)]
    matched = [[[f"topic{j + 1 + i}"] for i in range(4)] for j in range(k)]
    noise = NoiseDictionary([["nothing"]] * 2, [[], []], np.ones((n, 2)))
    found = score_images(Planted(k), lists, samples, V, Controls(RANDOM, matched, noise))
    assert sorted(found) == [1, 3, 5]
    one, three = found[1], found[3]
    assert (one.score.mean, one.score.std, one.score.n) == (1, 0, n)
    assert three.score.mean == pytest.approx(1 / 3)
    assert one.against["random"].level.mean == pytest.approx(1 / 40, abs=0.01)
    assert one.against["shuffled"].level.mean == pytest.approx(1 / k, abs=0.02)
    assert one.against["noise"].gain.mean == 1
    assert all(one.against[name].p < 0.01 for name in ("random", "shuffled", "noise"))
    assert one.against["captions"].level.mean == 2


def test_activations_that_say_nothing_of_their_images_are_not_told_from_shuffled_ones():
    rng = np.random.default_rng(0)
    samples = [photo(i) for i in range(60)]
    V = np.eye(6)[rng.permutation(60) % 6]
    found = score_images(Planted(6), [[f"topic{j}"] for j in range(6)], samples, V, Controls(RANDOM))[1]
    assert found.against["shuffled"].p > 0.05
