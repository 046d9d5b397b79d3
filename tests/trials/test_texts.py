"""What a model says, and how probable texts are to it."""

from __future__ import annotations

import pytest
import torch

from vitrail.trials.texts import say, surprise


def test_surprise_is_that_of_the_models_own_distribution(lmm, samples):
    texts = ["a dog", "two brown cats on the beach", "street street street"]
    found = surprise(lmm, samples[:3], texts, batch_size=2)
    for sample, text, value in zip(samples, texts, found, strict=False):
        inputs, labels = lmm.taught([sample.open()], [lmm.prompt], [text])
        with torch.no_grad():
            odds = lmm.run(inputs).logits.log_softmax(-1)
        at = (labels[0] != -100).nonzero().flatten()
        alone = -torch.stack([odds[0, i - 1, labels[0, i]] for i in at]).mean()
        assert value == pytest.approx(float(alone), rel=1e-4)
    assert found[2] > found[1]


def test_what_is_said_in_batches_is_what_is_said_at_once(lmm, samples):
    assert say(lmm, samples[:5], batch_size=2) == lmm.caption([s.open() for s in samples[:5]])
