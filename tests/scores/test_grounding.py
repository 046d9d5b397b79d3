"""CLIPScore, BERTScore and overlap by hand; `tests/lmm/test_scorers.py` compares with the library behind BERTScore."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitrail import scores


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, float)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def texts_of(rng, n: int, d: int = 8) -> list[np.ndarray]:
    return [unit(rng.normal(size=(int(rng.integers(1, 7)), d))) for _ in range(n)]


def test_clipscore_is_two_and_a_half_times_the_cosine_and_never_negative():
    images, texts = unit([[1, 0], [1, 1]]), unit([[1, 0], [0, -1]])
    expected = [[2.5, 0.0], [2.5 / np.sqrt(2), 0.0]]
    np.testing.assert_allclose(scores.clip_score(images, texts), expected, atol=1e-12)


def test_bertscore_by_hand():
    candidate = unit([[1, 0], [0, 1]])
    reference = unit([[1, 0], [1, 1], [-1, 0]])
    root = 1 / np.sqrt(2)
    precision = (1 + root) / 2  # each candidate token with its nearest reference token
    recall = (1 + root + 0) / 3  # each reference token with its nearest candidate token
    found = scores.bert_score([candidate], [reference])
    assert found.precision.item() == pytest.approx(precision)
    assert found.recall.item() == pytest.approx(recall)
    assert found.f1.item() == pytest.approx(2 * precision * recall / (precision + recall))


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 6), st.sampled_from([1, 3, 5, 1000]))
@settings(max_examples=30, deadline=None)
def test_bertscore_of_all_pairs_is_that_of_each_pair(seed, n, m, block):
    rng = np.random.default_rng(seed)
    candidates, references = texts_of(rng, n), texts_of(rng, m)
    found = scores.bert_score(candidates, references, block=block)
    for i, x in enumerate(candidates):
        for j, y in enumerate(references):
            similar = x @ y.T
            p, r = similar.max(axis=1).mean(), similar.max(axis=0).mean()
            assert found.precision[i, j] == pytest.approx(p)
            assert found.recall[i, j] == pytest.approx(r)
            assert found.f1[i, j] == pytest.approx(2 * p * r / (p + r) if p + r > 0 else 0)


def test_bertscore_of_a_text_with_itself_is_one_and_of_an_empty_one_an_error():
    some = texts_of(np.random.default_rng(0), 1)
    assert scores.bert_score(some, some).f1.item() == pytest.approx(1)
    with pytest.raises(ValueError, match="at least one token"):
        scores.bert_score(some, [np.zeros((0, 8))])
    assert scores.bert_score([], some).f1.shape == (0, 1)


def test_overlap_counts_shared_words():
    assert scores.overlap([{"a", "b"}, {"a", "b"}]) == 1
    assert scores.overlap([{"a"}, {"b"}, {"c"}]) == 0
    assert scores.overlap([{"a", "b"}, {"b"}, set()]) == pytest.approx((0.5 + 0 + 1 + 0 + 0 + 0) / 6)
