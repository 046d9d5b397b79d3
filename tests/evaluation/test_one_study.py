"""Evaluation: protocols by hand and on planted words, controls that control, the released procedure written out."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.decomposition import sparse_encode

from vitrail import learners, scores
from vitrail.activations import open_activations
from vitrail.concepts import open_concepts
from vitrail.errors import ArtifactError, DataError, UsageError
from vitrail.evaluation import compare_methods, evaluate, open_evaluation
from vitrail.evaluation.ablation import _say, _without, ablate
from vitrail.evaluation.control_words import matched_words, random_words
from vitrail.evaluation.curves import by_concepts, by_layer
from vitrail.evaluation.dictionary_scores import caption_shares, dictionary_scores
from vitrail.evaluation.embeddings import Embeddings, image_key
from vitrail.evaluation.factor_scores import truth_scores
from vitrail.evaluation.held_out import by_id, extract_noise, extract_test, samples_of
from vitrail.evaluation.measures import BertMeasure, ClipMeasure
from vitrail.evaluation.methods import differences
from vitrail.evaluation.one_study import plain
from vitrail.evaluation.protocols import ranked, score_concepts, score_images
from vitrail.evaluation.released import (
    released_clipscore,
    released_overlap,
    released_scores,
    released_words,
    valid_word,
)
from vitrail.grounding import GroundedConcept, allowed_words, open_grounding
from vitrail.lmm.scorers import ImageTextScorer, TextScorer
from vitrail.reports import comparison_report, report
from vitrail.reports.layout import Cell, Table, latex, markdown, number, p_value
from vitrail.reports.tables import all_tables, study_tables
from vitrail.runs.study import study, write_report
from vitrail.samples import EncodedImage, Sample, load_samples
from vitrail.studies import Study, open_study


def vector(text: str, d: int = 16) -> np.ndarray:
    """A direction of its own for every text."""
    return np.random.default_rng(zlib.crc32(text.encode())).normal(size=d)


class Counting:
    """Scorers that take no time, and count what they encode: an image is its mean colour, a text its words' sum."""

    def __init__(self, name: str = "fake") -> None:
        self.images: list[int] = []
        self.texts: list[str] = []
        self.tokens: list[str] = []

        def pixels(images) -> torch.Tensor:
            self.images.append(len(images))
            means = [
                np.asarray(i, float).mean(axis=(0, 1)) @ np.random.default_rng(0).normal(size=(3, 16)) for i in images
            ]
            return torch.tensor(np.array(means))

        def words(texts) -> torch.Tensor:
            self.texts += texts
            return torch.tensor(np.array([sum(vector(w) for w in re.findall(r"\w+", t)) for t in texts]))

        def tokens(texts) -> list[torch.Tensor]:
            self.tokens += texts
            return [torch.tensor(np.array([vector(w) for w in re.findall(r"\w+", t)])) for t in texts]

        self.image = ImageTextScorer(name, name, pixels, words)
        self.text = TextScorer(name, name, 0, tokens)

    @property
    def both(self) -> dict:
        return {"image_scorer": self.image, "text_scorer": self.text}

    def embeddings(self, folder: Path) -> Embeddings:
        return Embeddings(folder, self.image, self.text)


def photo(i: int, captions: tuple[str, ...] = ()) -> Sample:
    return Sample(str(i), Image.new("RGB", (4, 4), (7 * i % 256, 13 * i % 256, 29 * i % 256)), captions)


@pytest.fixture(scope="module")
def held_out(world):
    """Samples that nothing was learned from: about 8 dogs."""
    return load_samples(world, split="val") + load_samples(world, split="test")


@pytest.fixture(scope="module")
def factors(world):
    from vitrail.toyland.ground_truth import load_factors

    return load_factors(world)


# ---- embeddings ------------------------------------------------------------------------------------------------------


def test_everything_is_encoded_once_and_kept(tmp_path):
    fake = Counting()
    space = fake.embeddings(tmp_path)
    some = [photo(i) for i in (1, 2, 1)]
    first = space.images(some), space.texts(["a b", "c", "a b"]), space.tokens(["a b", "c", "a b"])
    assert (fake.images, fake.texts, fake.tokens) == ([2], ["a b", "c"], ["a b", "c"])
    again = Counting()
    later = again.embeddings(tmp_path)
    second = later.images(some), later.texts(["a b", "c", "a b"]), later.tokens(["a b", "c", "a b"])
    assert (again.images, again.texts, again.tokens) == ([], [], [])
    for a, b in zip(first, second, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    later.texts(["d"])
    assert again.texts == ["d"]


def test_another_scorer_reads_nothing_of_it(tmp_path):
    Counting().embeddings(tmp_path).texts(["a"])
    other = Counting("other")
    other.embeddings(tmp_path).texts(["a"])
    assert other.texts == ["a"]


def test_a_run_that_was_stopped_keeps_what_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["vitrail.evaluation.embeddings"], "BLOCK", 2)
    fake = Counting()

    def stop(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Embeddings(tmp_path, fake.image, fake.text, stop).texts(["a", "b", "c"])
    (tmp_path / "fake-texts" / "part-00001.safetensors").write_bytes(b"half of a part")
    again = Counting()
    assert len(again.embeddings(tmp_path).texts(["a", "b", "c"])) == 3
    assert again.texts == ["c"]


def test_damage_is_named(tmp_path):
    Counting().embeddings(tmp_path).texts(["a"])
    (tmp_path / "fake-texts" / "part-00000.json").write_text('{"keys": ["a", "b"], "lengths": [1]}')
    with pytest.raises(ArtifactError, match=r"part-00000.json is damaged"):
        Counting().embeddings(tmp_path)


def test_a_picture_is_known_by_its_contents(tmp_path):
    red, same, blue = (Image.new("RGB", (3, 3), c) for c in ("red", "red", "blue"))
    red.save(tmp_path / "a.png")
    same.save(tmp_path / "b.png")
    blue.save(tmp_path / "c.png")
    a, b, c = (image_key(Sample("x", tmp_path / f"{n}.png")) for n in "abc")
    assert a == b != c
    assert image_key(Sample("x", red)) == image_key(Sample("y", same)) != image_key(Sample("x", blue))
    cell = EncodedImage("x", lambda: {"bytes": (tmp_path / "a.png").read_bytes()}, tmp_path)
    assert image_key(Sample("x", cell)) == a
    with pytest.raises(DataError, match="does not exist"):
        image_key(Sample("x", tmp_path / "none.png"))


# ---- measures --------------------------------------------------------------------------------------------------------


def test_clip_measure_is_the_published_formula(tmp_path):
    fake = Counting()
    samples = [photo(3, ("a dog", "the dog")), photo(5)]
    found = ClipMeasure(fake.embeddings(tmp_path)).words(samples, [["dog", "black"], []])
    image = fake.image.images([samples[0].image])[0][0]
    text = fake.image.texts(["A photo is described by the words dog, black"])[0][0]
    assert found[0, 0] == pytest.approx(2.5 * max(float(image @ text), 0), abs=1e-6)
    assert np.isnan(found[:, 1]).all()
    captions = ClipMeasure(fake.embeddings(tmp_path)).captions(samples)
    each = [
        2.5 * max(float(image @ fake.image.texts([f"A photo depicts {t}"])[0][0]), 0) for t in samples[0].references
    ]
    assert captions[0] == pytest.approx(np.mean(each), abs=1e-6)
    assert np.isnan(captions[1])


def test_bert_measure_takes_the_best_of_all_captions_and_leaves_one_out_for_people(tmp_path):
    fake = Counting()
    samples = [photo(1, ("a black dog", "two cats", "a dog")), photo(2), photo(3, ("a cat",))]
    measure = BertMeasure(fake.embeddings(tmp_path))
    found = measure.words(samples, [["black", "dog"], ["cat"]])

    def f1(candidate: str, reference: str) -> float:
        return scores.bert_score(fake.text.texts([candidate]), fake.text.texts([reference])).f1.item()

    assert found[0, 0] == pytest.approx(max(f1("black, dog", t) for t in samples[0].references))
    assert found[2, 1] == pytest.approx(f1("cat", "a cat"))
    assert np.isnan(found[1]).all()
    people = measure.captions(samples)
    a, b, c = samples[0].references
    expected = [max(f1(a, b), f1(a, c)), max(f1(b, a), f1(b, c)), max(f1(c, a), f1(c, b))]
    assert people[0] == pytest.approx(np.mean(expected))
    assert np.isnan(people[1:]).all()


# ---- protocols -------------------------------------------------------------------------------------------------------


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
    found = score_concepts(Planted(6), lists, own, RANDOM, matched)
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
    found = score_concepts(Planted(6), lists, own, RANDOM, [[[f"topic{k}"], ["nothing"]] for k in range(6)])
    assert found.against["frequency"].level.mean == 0.5
    shifted = score_concepts(Planted(6), lists, own, RANDOM, [[[f"topic{(k + 1) % 6}"]] for k in range(6)])
    assert shifted.against["frequency"].level.mean == 0


def test_the_concepts_of_noise_images_are_held_against_those_of_images():
    lists = [[f"topic{k}"] for k in range(6)]
    own = [[photo(k + 6 * i) for i in range(3)] for k in range(6)]
    noise = ([["topic0"], ["nothing"], ["topic2"], []], [[photo(0), photo(6)], [photo(1)], [photo(2), photo(3)], []])
    found = score_concepts(Planted(6), lists, own, RANDOM, (), noise).against["noise"]
    assert (found.level.mean, found.level.n) == (0.5, 3)  # 1, 0 and one half; the last says nothing
    assert found.gain.mean == 0.5
    assert found.p == pytest.approx(scores.unpaired_p(np.ones(6), np.array([1, 0, 0.5])))
    alike = score_concepts(Planted(6), lists, own, RANDOM, (), (lists, own)).against["noise"]
    assert (alike.gain.mean, alike.p) == (0, 1)


def test_words_of_other_images_are_not():
    lists = [[f"topic{(k + 1) % 6}"] for k in range(6)]
    own = [[photo(k + 6 * i) for i in range(3)] for k in range(6)]
    found = score_concepts(Planted(6, noise=0.01), lists, own, RANDOM, ())
    assert found.score.mean < 0.02
    assert found.against["random"].p > 0.05
    assert found.against["shuffled"].p > 0.5


def test_a_concept_without_words_or_images_counts_for_nothing():
    found = score_concepts(Planted(3), [["topic0"], [], ["topic2"]], [[photo(0)], [photo(1)], []], RANDOM, ())
    assert found.units[0] == 1
    assert np.isnan(found.units[1:]).all()
    assert found.score.n == 1
    assert np.isnan(found.unit_q[1:]).all()


def test_random_words_are_as_many_as_a_concept_has():
    class Length(Planted):
        def words(self, samples, lists) -> np.ndarray:
            return np.array([[float(len(words)) for words in lists] for _ in samples])

    long = [[f"w{i}" for i in range(5)] for _ in range(7)]
    found = score_concepts(Length(1), [["a", "b"], ["a", "b", "c"]], [[photo(0)], [photo(1)]], long, ())
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
    noise = ([["nothing"]] * 2, np.ones((n, 2)))
    found = score_images(Planted(k), lists, samples, V, RANDOM, matched, noise)
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
    found = score_images(Planted(6), [[f"topic{j}"] for j in range(6)], samples, V, RANDOM, [], None)[1]
    assert found.against["shuffled"].p > 0.05


# ---- words of controls -----------------------------------------------------------------------------------------------


def test_random_words_pass_the_same_filter(lmm, activations, grounding):
    allowed = allowed_words(lmm, activations, **grounding.filter)
    lists = random_words(lmm, -1, allowed, 10, 5, seed=1)
    assert [len(words) for words in lists] == [10] * 5
    assert {w for words in lists for w in words} <= {w.lower() for w in allowed.values()}
    assert all(len(set(words)) == 10 for words in lists)
    assert "dog" not in {w.lower() for w in allowed.values()}
    assert scores.overlap(lists) < 0.25  # directions of either sign have little in common; positive ones share a mean
    assert lists == random_words(lmm, -1, allowed, 10, 5, seed=1) != random_words(lmm, -1, allowed, 10, 5, seed=2)


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


# ---- dictionaries ----------------------------------------------------------------------------------------------------


def test_words_in_captions_of_own_images_against_those_of_others():
    own = [[photo(0, ("a black dog",)), photo(1, ("it runs",))], [photo(2, ("a white category",))]]
    found, others = caption_shares([["black", "cat"], ["white", "cat"]], own)
    assert found.tolist() == [0.5, 0.5]
    assert others.tolist() == [0, 0]
    assert np.isnan(caption_shares([[]], [[]])[0]).all()


def test_dictionary_scores_stand_beside_their_controls(activations, concepts, dogs):
    Z = activations.states(concepts.layer)
    lists = [["red", "blue"], ["red"], *[[f"w{i}"] for i in range(4)]]
    found = dictionary_scores(concepts, Z, Z[:9], lists, [["a", "b"], ["b", "c"]], [[s] for s in dogs[:6]])
    assert found["overlap"].value.mean == pytest.approx(scores.overlap(lists))
    assert found["explained variance"].value.mean == pytest.approx(concepts.scores["explained_variance"], abs=1e-4)
    assert found["explained variance"].control < 0.2 < found["explained variance"].value.mean
    residual = ((Z[:9] - concepts.learner.inverse_transform(concepts.learner.transform(Z[:9]))) ** 2).sum()
    held_out = 1 - residual / ((Z[:9] - Z.mean(axis=0)) ** 2).sum()
    assert found["explained variance, held out"].value.mean == pytest.approx(held_out, abs=1e-4)
    assert found["explained variance, held out"].control < 0.2
    assert found["active concepts per sample"].value.mean == pytest.approx(concepts.scores["active"])
    assert found["pairwise cosine"].control < 0.1
    assert 0.5 < found["stability over seeds"].value.mean <= 1 + 1e-6
    assert all(f.value.low <= f.value.mean <= f.value.high for f in found.values())


# ---- the truth -------------------------------------------------------------------------------------------------------


def test_planted_factors_are_told_and_judged_on_held_out_samples():
    """Concept 0 is black, 1 runs, 2 is luck; on held-out samples black is told upside down."""
    rng = np.random.default_rng(0)
    black, runs = rng.random((2, 400)) < 0.4
    V = np.stack([black, runs, rng.random(400) < 0.5], axis=1) + 0.01 * rng.random((400, 3))
    V[300:, 0] = 1 - black[300:]
    names = [str(i) for i in range(400)]
    factors = {
        n: {"colour": "black" if b else "white", "action": "run" if r else "sit"}
        for n, b, r in zip(names, black, runs, strict=True)
    }
    own = [[names[i] for i in np.argsort(-V[:300, k])[:5]] for k in range(3)]
    found = truth_scores(V[:300], names[:300], V[300:], names[300:], own, factors)
    assert found is not None
    by_value = {v["value"]: v for v in found["values"]}
    assert (by_value["black"]["concept"], by_value["black"]["auroc"], by_value["black"]["held_out"]) == (0, 1, 0)
    assert (by_value["run"]["concept"], by_value["run"]["auroc"], by_value["run"]["held_out"]) == (1, 1, 1)
    assert found["by_chance"]["colour"]["mean"] < 0.65 < 0.75 < found["best"]["colour"]
    assert [c["value"] for c in found["concepts"][:2]] == ["black", "run"]
    assert [c["purity"] for c in found["concepts"][:2]] == [1, 1]
    assert found["concepts"][0]["purity_by_chance"] == pytest.approx(black[:300].mean())
    assert found["recovery"]["informativeness"]["action"] > 0.95
    assert found["recovery"]["informativeness"]["colour"] < 0.05
    assert truth_scores(V, names, V, names, own, {"elsewhere": {"colour": "black"}}) is None


# ---- the released procedure, written out -----------------------------------------------------------------------------


def test_released_top_1_and_top_3_written_out(tmp_path):
    fake = Counting()
    samples = [photo(i) for i in range(1, 8)]
    V = np.random.default_rng(0).normal(size=(7, 6))
    lists = [["red", "dog"], ["cat"], [], ["a", "b", "c"], ["x"], ["y", "z"]]
    found = released_clipscore(fake.embeddings(tmp_path), lists, samples, V)
    assert {f"A photo is described by the words {w}" for w in ("red, dog.", "cat.", ".", "a, b, c.")} <= {*fake.texts}
    per_image = []
    for sample, activations in zip(samples, V, strict=True):
        image = fake.image.images([sample.image])[0][0]
        row = []
        for component in activations.argsort()[-5:]:
            candidate = ""
            for word in lists[component]:
                candidate = candidate + word + ", "
            candidate = candidate[: len(candidate) - 2] + "."
            text = fake.image.texts(["A photo is described by the words " + candidate])[0][0]
            row.append(2.5 * np.clip(np.sum(image * text), 0, None))
        per_image.append(row)
    table = np.array(per_image)
    for k in (1, 3):
        each = table[:, -k:].mean(axis=1)
        assert found[f"top_{k}_mean"] == pytest.approx(each.mean(), abs=1e-6)
        assert found[f"top_{k}_std"] == pytest.approx(each.std(), abs=1e-6)


def test_released_overlap_written_out():
    lists = [["dog", "dog", "red"], ["dog"], []]
    matrix = np.zeros((3, 3))
    for i, mine in enumerate(lists):
        for j, other in enumerate(lists):
            if mine:
                matrix[i, j] = len([w for w in mine if w in other]) / len(mine)
    expected = (matrix.sum() - np.trace(matrix)) / (3 * 2)
    assert released_overlap(lists) == pytest.approx(expected)
    assert released_overlap(lists) != pytest.approx(scores.overlap(lists))  # ours counts a word once


def test_released_filter_written_out():
    tokens = [" Dog", "dog", "zqx", " the", "ox", " 7", "nan", " run", "red "]
    logits = np.array([np.arange(len(tokens), 0, -1.0)])
    assert released_words(logits, tokens.__getitem__, n_words=4, n_tokens=8) == [["dog", "dog", "7", "nan"]]
    assert [t for t in (*tokens, "1e5", "infinity", " 2.5 ") if valid_word(t)] == [
        " Dog", "dog", " 7", "nan", " run", "red ", "1e5", "infinity", " 2.5 "
    ]  # fmt: skip


def test_released_words_are_of_the_unembedding_alone(lmm, concepts, tmp_path):
    V = np.random.default_rng(0).random((2, len(concepts)))
    samples = [photo(1), photo(2)]
    space = Counting().embeddings(tmp_path)
    found = released_scores(lmm, concepts.U, space, samples, V)
    weight = lmm.model.get_output_embeddings().weight.detach().numpy()
    for u, words in zip(concepts.U, found["words"], strict=True):
        top = (weight @ u).argsort()[::-1][:50]
        texts = lmm.tokenizer.batch_decode([[i] for i in top], skip_special_tokens=True)
        assert words == [t.lower().strip() for t in texts if valid_word(t)][:10]
    assert found["overlap"] == released_overlap(found["words"])
    assert found["top_1_mean"] == released_clipscore(space, found["words"], samples, V)["top_1_mean"]


def test_released_activations_are_ours(activations):
    """Semi-NMF: scikit-learn's `lasso_cd` with alpha 1 is our exact code of penalty 2; k-means: 1/(1+distance)."""
    Z = activations.states(-1 + 9)
    ours = learners.SemiNMF(5, penalty=2.0, random_state=0).fit(Z)
    theirs = sparse_encode(
        Z.astype(float), ours.components_.astype(float), algorithm="lasso_cd", alpha=1.0, positive=True, max_iter=20000
    )
    np.testing.assert_allclose(ours.transform(Z), theirs, atol=2e-2 * np.abs(theirs).max())
    means = learners.KMeans(4, random_state=0).fit(Z)
    model = SklearnKMeans(4, n_init=1, init=means.components_, max_iter=1).fit(Z)
    model.cluster_centers_ = means.components_.astype(model.cluster_centers_.dtype)
    np.testing.assert_allclose(means.transform(Z), 1 / (1 + model.transform(Z)), rtol=1e-3)


# ---- held-out samples and noise --------------------------------------------------------------------------------------


def test_test_samples_must_be_others(lmm, activations, dogs, tmp_path):
    with pytest.raises(DataError, match=r"were learned from.*--split"):
        extract_test(lmm, activations, dogs[:3], out=tmp_path)


def test_samples_of_other_data_are_missed(activations, dogs):
    with pytest.raises(DataError, match=r"are not in these data"):
        samples_of(activations, by_id(dogs[:5]))


def test_noise_images_have_the_same_texts_at_the_same_positions(lmm, activations, dogs, tmp_path):
    some = dataclasses.replace(activations, manifest=activations.manifest)
    noise = extract_noise(lmm, some, by_id(dogs), out=tmp_path / "noise")
    assert [r["token_ids"] for r in noise.rows] == [r["token_ids"] for r in activations.rows]
    assert [r["position"] for r in noise.rows] == [r["position"] for r in activations.rows]
    assert noise.rows[0]["thumbnail"] != activations.rows[0]["thumbnail"]
    assert len({row["thumbnail"] for row in noise.rows}) == len(noise.rows)  # every image has noise of its own
    assert np.abs(noise.states(8) - activations.states(8)).max() > 0.1
    again = extract_noise(lmm, some, by_id(dogs), out=tmp_path / "again")
    np.testing.assert_array_equal(noise.states(8), again.states(8))


# ---- ablation --------------------------------------------------------------------------------------------------------


def test_what_is_removed_is_the_concepts_share_and_the_control_has_its_norm(concepts, activations):
    h = activations.states(concepts.layer)[:5]
    v = concepts.learner.transform(h)
    k = 1 + int(np.abs(v[:, 1:]).sum(axis=0).argmax())
    without = _without(concepts, k)(torch.from_numpy(h)).numpy()
    np.testing.assert_allclose(h - without, np.outer(v[:, k], concepts.U[k]), atol=1e-4)
    noise = np.random.default_rng(0).normal(size=h.shape)
    control = _without(concepts, k, noise)(torch.from_numpy(h)).numpy()
    np.testing.assert_allclose(
        np.linalg.norm(h - control, axis=1), np.linalg.norm(h - without, axis=1), rtol=1e-3, atol=1e-4
    )
    assert not np.allclose(control, without, atol=1e-3)


@pytest.mark.usefixtures("trained")
def test_ablation_speaks_and_leaves_the_model_as_it_was(lmm, activations, concepts, dogs):
    some = dogs[:4]
    V = np.asarray(concepts.learner.transform(activations.states(concepts.layer)))[:4]
    before = lmm.caption([s.open() for s in some])
    lists = [re.findall(r"\w+", before[0])] * len(concepts)
    found = ablate(
        lmm, activations, concepts, lists, some, V, before, n_images=2, seed=0,
        values=[("kind", "dog")] * len(concepts), lexicon={"kind": {"dog": ("dog", "puppy", "hound")}},
    )  # fmt: skip
    assert lmm.caption([s.open() for s in some]) == before
    assert {e["concept"] for e in found["concepts"]} <= set(range(len(concepts)))
    assert found["words"]["before"]["mean"] > 1
    assert 0 <= found["values"]["removed"]["mean"] <= 1
    assert 0 < found["words"]["p"] <= 1
    assert found["words"]["gain"]["n"] == len(found["concepts"]) > 0


def test_what_is_gained_is_what_a_random_vector_leaves_and_the_concept_does_not(
    lmm, activations, concepts, dogs, monkeypatch
):
    """Made up captions: without a concept its words are gone, without a random vector half of them stay."""
    lists = [["black", "small"], ["running", "red"], [], *[["snow"]] * (len(concepts) - 3)]
    V = np.full((4, len(concepts)), -1.0)
    V[:, :3] = [[0.5, 0, 1], [1, 0.1, 1], [0, 0.2, 1], [2, 0.3, 1]]
    said = ["one dog", "a black dog , black and small", "a dog in the snow", "a small black dog"]
    texts = iter([["a dog", "a dog"], ["a black dog", "a dog"], ["it", "it"], ["a red dog", "it"]])
    asked = []

    def say(_lmm, _layer, samples, _length, _change):
        asked.append([s.id for s in samples])
        return next(texts)

    monkeypatch.setattr(sys.modules["vitrail.evaluation.ablation"], "_say", say)
    found = ablate(
        lmm, activations, concepts, lists, dogs[:4], V, said, n_images=2,
        values=[("colour", "black"), ("action", "running"), None], lexicon={"colour": {"black": ("black",)}},
    )  # fmt: skip
    ids = [s.id for s in dogs[:4]]
    assert asked == [[ids[3], ids[1]]] * 2 + [[ids[3], ids[2]]] * 2  # the strongest that are active at all
    first, second = found["concepts"]
    assert first["words"] == {"before": 2, "removed": 0, "random": 0.5}
    assert first["values"] == {"before": 1, "removed": 0, "random": 0.5}
    assert second["words"] == {"before": 0, "removed": 0, "random": 0.5}
    assert "values" not in second  # nobody said which words name it
    assert found["words"]["gain"]["mean"] == 0.5
    assert found["values"]["gain"]["n"] == 1


def test_only_the_states_that_generate_are_changed(lmm, dogs):
    """Every state that is handed over is one whose prediction is the token that is said next."""
    some, seen = dogs[:3], []

    def change(states: torch.Tensor) -> torch.Tensor:
        seen.append(states.clone())
        return states

    length = 12
    said = lmm.generate(lmm.prepare([s.open() for s in some], [lmm.prompt] * 3), length)
    assert _say(lmm, 8, some, length, change) == [g.text for g in said]
    for i, states in enumerate(seen):
        next_tokens = lmm.logits(states, 8).argmax(dim=-1).tolist()
        going_on = [(token, g.ids[i]) for token, g in zip(next_tokens, said, strict=True) if i < len(g.ids)]
        assert all(token == expected for token, expected in going_on)
    assert max(len(g.ids) for g in said) <= len(seen) <= length


# ---- all together ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(lmm, activations, concepts, grounding, dogs, held_out, factors, tmp_path_factory):
    """An evaluation with scorers that take no time; read only."""
    return evaluate(
        lmm, activations, concepts, grounding, dogs, held_out, **Counting().both, factors=factors, n_random=30,
        out=tmp_path_factory.mktemp("evaluation") / "evaluation",
    )  # fmt: skip


def test_an_evaluation_is_whole_and_opens_again(made, grounding):
    written = json.loads((made.folder / "evaluation.json").read_text())
    assert written == made.scores
    assert open_evaluation(made.folder, grounding).scores == made.scores
    assert {"concepts", "images", "dictionary", "released", "truth", "words"} <= set(written)
    for measure in ("clip", "bert"):
        assert len(written["concepts"][measure]["units"]) == len(grounding)
        assert {"random", "frequency", "shuffled", "noise", "captions"} == set(written["concepts"][measure]["against"])
        for scored in written["images"][measure].values():
            assert {"random", "frequency", "shuffled", "noise", "captions"} == set(scored["against"])
            assert all(0 < a["p"] <= 1 for a in scored["against"].values())
    assert set(written["truth"]["best"]) == set(written["truth"]["by_chance"])
    assert sorted(p.name for p in made.folder.parent.iterdir()) == [
        "embeddings", "evaluation", "noise", "noise-concepts", "noise-grounding", "test"
    ]  # fmt: skip


def test_every_score_is_of_its_own_words_and_pictures(made, concepts, grounding, dogs, held_out):
    """By hand from what the stages left: a held-out image with its strongest concept, a concept with its own images,
    and a concept of noise with the pictures whose noise it was."""
    fake, home = Counting(), made.folder.parent

    def clip(sample: Sample, grounded: GroundedConcept) -> float:
        text = "A photo is described by the words " + ", ".join(w.word for w in grounded.words)
        return 2.5 * max(float(fake.image.images([sample.open()])[0][0] @ fake.image.texts([text])[0][0]), 0)

    test = open_activations(home / "test")
    V = concepts.learner.transform(test.states(concepts.layer))
    assert {r["sample_id"] for r in test.rows} <= set(by_id(held_out))
    expected = [
        clip(by_id(held_out)[row["sample_id"]], grounding[int(v.argmax())]) if v.max() > 0 else None
        for row, v in zip(test.rows, V, strict=True)
    ]
    units = made.scores["images"]["clip"]["1"]["units"]
    assert [u is None for u in units] == [e is None for e in expected]
    assert [u for u in units if u is not None] == pytest.approx([e for e in expected if e is not None], abs=1e-5)
    known = by_id(dogs)

    def own(grounded: GroundedConcept) -> float:
        return float(np.mean([clip(known[s.sample_id], grounded) for s in grounded.samples]))

    of_concepts = made.scores["concepts"]["clip"]
    assert of_concepts["units"] == pytest.approx([own(c) for c in grounding.concepts], abs=1e-5)
    learned = open_concepts(home / "noise-concepts", open_activations(home / "noise"))
    assert learned.parameters == concepts.parameters | {"stability": 0}
    of_noise = [own(c) for c in open_grounding(home / "noise-grounding", learned).concepts if c.samples]
    assert of_concepts["against"]["noise"]["level"]["mean"] == pytest.approx(np.mean(of_noise), abs=1e-5)


def test_the_second_run_encodes_nothing(made, lmm, activations, concepts, grounding, dogs, held_out, factors):
    fake = Counting()
    again = evaluate(
        lmm, activations, concepts, grounding, dogs, held_out, **fake.both, factors=factors, n_random=30,
        out=made.folder,
    )  # fmt: skip
    assert again.scores == made.scores
    assert (fake.images, fake.texts) == ([], [])


def test_other_options_in_the_same_folder_are_refused(
    made, lmm, activations, concepts, grounding, dogs, held_out, factors
):
    with pytest.raises(ArtifactError, match="n_random is 30 there and 31 here"):
        evaluate(lmm, activations, concepts, grounding, dogs, held_out, **Counting().both, factors=factors, n_random=31,
                 out=made.folder)  # fmt: skip
    with pytest.raises(ArtifactError, match="scorers"):
        evaluate(lmm, activations, concepts, grounding, dogs, held_out, **Counting("other").both, factors=factors,
                 n_random=30, out=made.folder)  # fmt: skip
    with pytest.raises(UsageError, match="n_random must be at least 1"):
        evaluate(lmm, activations, concepts, grounding, dogs, held_out, **Counting().both, n_random=0, out=made.folder)


def test_an_evaluation_of_another_grounding_is_refused(made, tmp_path):
    with pytest.raises(ArtifactError, match="holds no evaluation"):
        open_evaluation(tmp_path)
    (tmp_path / "evaluation.json").write_text("{")
    (tmp_path / "manifest.json").write_text((made.folder / "manifest.json").read_text())
    with pytest.raises(ArtifactError, match="damaged or missing"):
        open_evaluation(tmp_path)


def test_the_report_shows_it(made, activations, concepts, grounding, tmp_path):
    page = report(activations, concepts, grounding, out=tmp_path / "r.html", evaluation=made.scores).read_text()
    assert 'id="evaluation"' in page
    assert scores_of(made) in page
    without = report(activations, concepts, grounding, out=tmp_path / "plain.html").read_text()
    assert 'id="evaluation"' not in without


def test_a_report_is_the_same_whichever_command_writes_it(lmm, dogs, held_out, factors, saying, tmp_path, caplog):
    saying("a brown dog on the grass")
    folder = tmp_path / "dog"

    def again(n_concepts: int = 3) -> Study:
        return study(lmm, dogs, "dog", out=folder, layer=1, require="truth", method="kmeans", n_concepts=n_concepts,
                     factors=factors)  # fmt: skip

    made = again()
    assert 'id="evaluation"' not in (folder / "report.html").read_text()
    evaluate(lmm, made.activations, made.concepts, made.grounding, dogs, held_out, **Counting().both, n_random=5,
             factors=factors, noise=False, out=folder / "evaluation")  # fmt: skip
    again()  # a finished study, run again
    page = (folder / "report.html").read_text()
    assert 'id="evaluation"' in page
    assert 'id="truth"' in page
    opened = open_study(folder)
    assert opened.factors == {row["sample_id"]: factors[row["sample_id"]] for row in opened.activations.rows}
    assert write_report(opened, out=tmp_path / "page.html").read_text() == page
    for stage in ("concepts", "grounding"):
        shutil.rmtree(folder / stage)
    again(2)
    assert 'id="evaluation"' not in (folder / "report.html").read_text()
    assert "evaluation was not made from" in caplog.text


def test_factors_that_are_damaged_are_named(tmp_path, activations, concepts, grounding):
    for artifact in (activations, concepts, grounding):
        shutil.copytree(artifact.folder, tmp_path / artifact.folder.name)
    assert open_study(tmp_path).factors is None
    (tmp_path / "factors.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"factors.json is damaged"):
        open_study(tmp_path)


def scores_of(made) -> str:
    return number(made.scores["images"]["bert"]["1"]["score"]["mean"])


# ---- side by side ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def side_by_side(lmm, samples, held_out, factors, tmp_path_factory):
    return compare_methods(
        lmm, samples, held_out, ["dog"], **Counting().both, out=tmp_path_factory.mktemp("comparison"),
        methods=["kmeans", "semi-nmf"], layers=[4, -1], n_concepts=[6, 4], require="truth", factors=factors,
        noise=False, n_random=20,
    )  # fmt: skip


def test_methods_stand_side_by_side_on_the_same_states(side_by_side):
    files = {p.name for p in side_by_side.folder.iterdir()}
    assert {"comparison.json", "comparison.md", "comparison.tex", "dog", "embeddings"} <= files
    values = json.loads((side_by_side.folder / "comparison.json").read_text())
    assert values == side_by_side.values
    assert values["main"] == "semi-nmf"
    assert set(values["evaluations"]["dog"]) == {"kmeans", "semi-nmf"}
    layers = values["curves"]["dog"]["layers"]
    assert [entry["layer"] for entry in layers] == [4, 8]
    assert all(0 < entry["clip"]["p"] <= entry["clip"]["q"] <= 1 for entry in layers)
    ks = values["curves"]["dog"]["n_concepts"]
    assert [entry["n_concepts"] for entry in ks] == [4, 6]
    assert ks[0]["explained variance"] < ks[1]["explained variance"]


def test_every_difference_has_a_p_and_a_q_over_all_of_them(side_by_side):
    tests = side_by_side.values["tests"]
    assert len(tests) == 2 * 2 * (2 + 1)  # measures × protocols × (two against random words, one against each other)
    q = scores.corrected([np.nan if t["p"] is None else t["p"] for t in tests])
    assert [t["q"] for t in tests] == pytest.approx(q)
    assert all(t["real"] == (t["q"] < 0.05) for t in tests)


def test_differences_that_are_real_are_called_so():
    def scored(units, p):
        level = {"mean": 0.0, "std": 0.0, "low": 0.0, "high": 0.0, "n": 9}
        one = {"units": units, "against": {"random": {"gain": level, "p": p}}}
        return {"concepts": {"clip": one, "bert": one}, "images": {"clip": {"1": one}, "bert": {"1": one}}}

    rng = np.random.default_rng(0)
    low, high = rng.normal(size=40).tolist(), (rng.normal(size=40) + 3).tolist()
    found = differences({"dog": {"a": scored(low, 0.5), "b": scored(high, 0.0005), "c": scored([*low[1:], None], 0.9)}})
    for protocol in ("concepts", "images"):
        real = {(t["first"], t["second"]) for t in found if t["real"] and t["protocol"] == protocol}
        assert real == {("b", "random words"), ("a", "b"), ("b", "c")}


def test_unknown_methods_are_refused(lmm, samples, held_out, tmp_path):
    with pytest.raises(UsageError, match=r"methods among .*semi-nmf.*got .*'magic'"):
        compare_methods(lmm, samples, held_out, ["dog"], **Counting().both, out=tmp_path, methods=["magic"])


def test_the_page_of_a_comparison_is_one_file(side_by_side, tmp_path):
    page = comparison_report(side_by_side.values, out=tmp_path / "page.html").read_text()
    assert page.count("<svg") == 3
    assert "Semi-NMF" in page
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)
    again = comparison_report(side_by_side.values, out=tmp_path / "again.html").read_text()
    assert page == again


def test_hostile_words_stay_text(side_by_side, tmp_path):
    values = json.loads(json.dumps(side_by_side.values).replace('"dog"', '"<script>alert(1)</script>"'))
    page = comparison_report(values, out=tmp_path / "page.html").read_text()
    assert "<script>alert" not in page


# ---- tables ----------------------------------------------------------------------------------------------------------


def test_tables_in_markdown_and_latex():
    cells = (Cell(0.6104, 0.09, 0.6, 0.62, "*", best=True), Cell(None), Cell(-0.25))
    table = Table("t", "50 % of a_b & c.", ("word", "", "A", "B", "C"), ((("dog", "CS"), cells),))
    assert markdown(table).splitlines() == [
        "| word |  | A | B | C |",
        "|---|---|---|---|---|",
        "| dog | CS | **.610** ± .090 [.600, .620] \\* | – | -.250 |",
        "",
        "50 % of a_b & c.",
    ]
    text = latex(table)
    assert r"dog & CS & \textbf{.610} $\pm$ .090 [.600, .620]$^{*}$ & -- & -.250 \\" in text
    assert r"\caption{50 \% of a\_b \& c.}" in text


def test_words_that_mean_something_to_a_table_are_written_as_they_are():
    table = Table("t", "A caption.", ("word", "", "A"), (((r"a|b\c{d}^", "CS"), (Cell(0.5),)),))
    assert r"| a\|b\c{d}^ | CS | .500 |" in markdown(table)
    assert r"a|b\textbackslash{}c\{d\}\textasciicircum{} & CS & .500 \\" in latex(table)


def test_tables_of_a_comparison_have_the_papers_columns(side_by_side):
    made = {t.name: t for t in all_tables(side_by_side.values)}
    assert made["images1"].heads == ("word", "", "Rnd-Words", "k-means", "Semi-NMF", "GT-captions")
    assert [labels for labels, _ in made["images1"].rows] == [("dog", "CS"), ("dog", "BS")]
    assert "held out" in made["truth"].heads
    best = [c for c in made["images1"].rows[0][1] if c.best]
    assert len(best) == 1


@pytest.mark.parametrize("real", [True, False])
def test_marks_say_which_differences_are_real(side_by_side, real):
    values = json.loads(json.dumps(side_by_side.values))
    values["tests"] = [t | {"real": real} for t in values["tests"]]
    table = {t.name: t for t in all_tables(values)}["images1"]
    for _, (_, *methods, _) in table.rows:
        assert [("*" in cell.marks) for cell in methods] == [real, real]
        assert ["≈" in cell.marks for cell in methods] == [not real and not cell.best for cell in methods]


def test_tables_of_a_study_show_every_control(made):
    table, dictionary, truth, recovery = study_tables(made.scores)
    assert [labels[1] for labels, _ in dictionary.rows] == list(made.scores["dictionary"])
    assert {labels[1]: cells[0].mean for labels, cells in truth.rows} == made.scores["truth"]["best"]
    told = made.scores["truth"]["recovery"]["informativeness"]
    assert [cells[0].mean for _, cells in recovery.rows[2:]] == list(told.values())
    assert len(table.rows) == 2 * (1 + 3)
    assert {"Rnd-Words", "as frequent words", "shuffled", "Noise-Imgs", "GT-captions"} <= set(table.heads)


def test_numbers_have_three_digits_and_one_way_to_be_written():
    values = (0.6104, 0.99968, 1.0, -0.0001, 0.0, -0.25, 20.004, None)
    assert [number(v) for v in values] == [".610", "1.00", "1.00", ".000", ".000", "-.250", "20.00", "–"]


def test_small_p_are_not_written_as_zero():
    assert [p_value(p) for p in (0.0005, 0.013, 1.0, None)] == ["< .001", "= .013", "= 1.00", "–"]


def test_what_is_not_finite_is_null():
    value = {"a": float("nan"), "b": [np.float64(1.5), float("inf")], "c": (1, None)}
    assert plain(value) == {"a": None, "b": [1.5, None], "c": [1, None]}


def test_curves_leave_out_more_concepts_than_samples(lmm, activations, held_out, tmp_path):
    test = extract_test(lmm, activations, held_out, out=tmp_path / "test")
    found = by_concepts(
        lmm, activations, test, [2, 10_000], out=tmp_path, method="pca", layer=8, n_random=5
    )  # fmt: skip
    assert [entry["n_concepts"] for entry in found] == [2]
    learned = open_concepts(tmp_path / "concepts-2" / "concepts", activations)
    Z, Z_test = activations.states(8), test.states(8)
    residual = ((Z_test - learned.learner.inverse_transform(learned.learner.transform(Z_test))) ** 2).sum()
    expected = 1 - residual / ((Z_test - Z.mean(axis=0)) ** 2).sum()
    assert found[0]["explained variance, held out"]["mean"] == pytest.approx(expected, abs=1e-4)
    words = [[w.word for w in c.words] for c in open_grounding(tmp_path / "concepts-2" / "grounding").concepts]
    assert found[0]["overlap"] == scores.overlap(words)


def test_the_curve_by_layer_has_its_own_random_level(lmm, activations, dogs, tmp_path):
    found = by_layer(
        lmm, activations, dogs, Counting().embeddings(tmp_path / "e"), [3, "final"], out=tmp_path, method="kmeans",
        n_concepts=3, n_random=10,
    )  # fmt: skip
    assert [entry["layer"] for entry in found] == [3, "final"]
    known = by_id(dogs)
    for entry in found:
        layer = entry["layer"]
        grounded = open_grounding(tmp_path / f"layer-{layer}" / "grounding")
        lists = [[w.word for w in c.words] for c in grounded.concepts]
        own = [[known[s.sample_id] for s in c.samples] for c in grounded.concepts]
        random = random_words(lmm, layer, allowed_words(lmm, activations, **grounded.filter), 10, 10, 0)
        expected = score_concepts(ClipMeasure(Counting().embeddings(tmp_path / "e")), lists, own, random, ())
        assert entry["clip"]["score"]["mean"] == pytest.approx(expected.score.mean)
        assert entry["clip"]["random"]["mean"] == pytest.approx(expected.against["random"].level.mean)
        assert entry["clip"]["p"] == expected.against["random"].p
