"""Two models on the same images."""

from __future__ import annotations

import copy
import dataclasses
import json

import pytest
import torch

from vitrail.artifacts import plain
from vitrail.comparison.models import check_models, compare_models, frequencies
from vitrail.errors import UsageError


def test_a_model_and_itself_do_not_differ(lmm, samples):
    found = compare_models(lmm, lmm, samples[:4], max_new_tokens=6)
    assert found.changed_captions == 0
    assert found.divergence.mean == pytest.approx(0, abs=1e-6)
    assert {move.relative for move in found.layers} == {0.0}
    assert found.frequencies == ()


def test_the_comparison_says_where_a_model_changed(lmm, changed_lmm, samples):
    found = compare_models(lmm, changed_lmm, samples[:6], max_new_tokens=6, batch_size=4)
    assert found.n_samples == 6
    assert found.divergence.mean > 0
    moved = {move.layer: move.relative for move in found.layers}
    assert list(moved) == [*range(9), "final"]
    assert [moved[k] > 0 for k in range(9)] == [False] * 6 + [True] * 3
    assert moved[8] > moved[6]
    json.dumps(plain(found), allow_nan=False)


def test_divergence_is_that_of_the_models_own_logits(lmm, changed_lmm, samples):
    image = samples[0].open()
    inputs = lmm.prepare([image], [lmm.prompt])
    said = lmm.generate(inputs, 5)[0].ids
    batch = lmm.extended(inputs, [said])
    with torch.no_grad():
        p, q = (m.run(batch).logits[0, -len(said) - 1 :].float().log_softmax(-1) for m in (lmm, changed_lmm))
    expected = (p.exp() * (p - q)).sum(-1)
    found = compare_models(lmm, changed_lmm, samples[:1], max_new_tokens=5)
    assert found.by_position == pytest.approx(expected.tolist(), abs=1e-4)


def test_words_that_rose_and_fell_are_found_with_their_p():
    before = ["a red dog"] * 20 + ["a blue cat"] * 20
    after = ["a dog on the beach"] * 20 + ["a blue cat"] * 20
    found = {f.word: f for f in frequencies(before, after)}
    assert set(found) == {"red", "beach"}
    assert (found["red"].before, found["red"].after) == (20, 0)
    assert found["beach"].p < 0.001


def test_models_with_another_tokenizer_are_refused(lmm):
    processor = copy.copy(lmm.processor)
    processor.tokenizer = copy.deepcopy(lmm.tokenizer)
    processor.tokenizer.add_tokens(["schnauzer"])
    other = dataclasses.replace(lmm, backend=dataclasses.replace(lmm.backend, processor=processor), name="other")
    with pytest.raises(UsageError, match="their tokenizers differ in 1 of"):
        check_models(lmm, other)
