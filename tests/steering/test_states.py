"""States of examples: means over the positions that a selection names."""

from __future__ import annotations

import pytest
import torch

from vitrail.errors import DataError
from vitrail.samples.examples import Example
from vitrail.steering import (
    TASKS,
    example_states,
)

YES_NO = TASKS["yes-no"]


def test_states_are_means_over_the_selected_positions(lmm, samples):
    examples = [Example(s, s.references[0]) for s in samples[:3]]
    found = example_states(lmm, examples, [3, "final"], batch_size=2)
    for i, e in enumerate(examples):
        inputs = lmm.prepare([e.sample.open()], [lmm.prompt])
        ids = lmm.continuation(lmm.prompt, e.answer).ids
        width = inputs["input_ids"].shape[1]
        at = range(width - 1, width + len(ids))
        states = lmm.states(inputs, [ids], list(at), [3, "final"], rows=[0] * len(at))
        for layer in (3, "final"):
            torch.testing.assert_close(found.by_layer[layer][i], states[layer].mean(0), rtol=1e-4, atol=1e-4)


def test_states_can_be_those_that_predict_some_words(lmm, samples):
    e = Example(samples[0], "a red dog and a red cat")
    found = example_states(lmm, [e, Example(samples[1], "two cats")], [4], saying={"red"})
    inputs, ids = lmm.prepare([e.sample.open()], [lmm.prompt]), lmm.continuation(lmm.prompt, e.answer).ids
    width = inputs["input_ids"].shape[1]
    pieces = [lmm.tokenizer.decode([i]).strip() for i in ids]
    at = [width - 1 + i for i, piece in enumerate(pieces) if piece == "red"]
    states = lmm.states(inputs, [ids], at, [4], rows=[0, 0])[4]
    assert found.examples == (0,)
    torch.testing.assert_close(found.by_layer[4][0], states.mean(0), rtol=1e-4, atol=1e-4)
    with pytest.raises(DataError, match="zebra"):
        example_states(lmm, [e], [4], saying={"zebra"})
