"""The released procedure, written out."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.decomposition import sparse_encode
from tests.evaluation.fakes import Counting, photo

from vitrail import learners, scores
from vitrail.evaluation.released import (
    released_clipscore,
    released_overlap,
    released_scores,
    released_words,
    valid_word,
)


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
        *(" Dog", "dog", " 7", "nan", " run", "red ", "1e5", "infinity", " 2.5 ")
    ]


def test_released_words_are_of_the_unembedding_alone(lmm, concepts, tmp_path):
    V = np.random.default_rng(0).random((2, len(concepts)))
    samples = [photo(1), photo(2)]
    space = Counting().embeddings(tmp_path)
    found = released_scores(lmm, concepts.U, space, samples, V)
    weight = lmm.model.get_output_embeddings().weight.detach().numpy()
    for u, words in zip(concepts.U, found.words, strict=True):
        top = (weight @ u).argsort()[::-1][:50]
        texts = lmm.tokenizer.batch_decode([[i] for i in top], skip_special_tokens=True)
        assert words == [t.lower().strip() for t in texts if valid_word(t)][:10]
    assert found.overlap == released_overlap(found.words)
    assert found.top_1_mean == released_clipscore(space, found.words, samples, V)["top_1_mean"]


def test_released_activations_are_ours(activations):
    """Semi-NMF: scikit-learn's `lasso_cd` with alpha 1 is our exact code of penalty 2; k-means: 1/(1+distance)."""
    Z = activations.states(-1 + 9)
    ours = learners.SemiNMF(5, form="paper", random_state=0).fit(Z)
    theirs = sparse_encode(
        Z.astype(float), ours.components_.astype(float), algorithm="lasso_cd", alpha=1.0, positive=True, max_iter=20000
    )
    np.testing.assert_allclose(ours.transform(Z), theirs, atol=2e-2 * np.abs(theirs).max())
    means = learners.KMeans(4, random_state=0).fit(Z)
    model = SklearnKMeans(4, n_init=1, init=means.components_, max_iter=1).fit(Z)
    model.cluster_centers_ = means.components_.astype(model.cluster_centers_.dtype)
    np.testing.assert_allclose(means.transform(Z), 1 / (1 + model.transform(Z)), rtol=1e-3)
