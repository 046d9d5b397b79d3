"""States of examples: means over the positions that a selection names."""

from __future__ import annotations

import pytest
import torch

from vitrail.errors import DataError
from vitrail.samples.examples import Example
from vitrail.steering import TASKS, SteeringOptions, example_states, make_steering

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


@pytest.mark.parametrize(
    ("at", "part"),
    [
        ("answer", lambda start, n: range(start - 1, start + n - 1)),
        ("said", lambda start, n: range(start, start + n)),
        ("said:-1", lambda start, n: range(start + n - 1, start + n)),
        ("prompt:-2:", lambda start, n: range(start - 2, start)),
    ],
)
def test_states_can_be_read_at_positions_that_are_not_steered(lmm, samples, library_states, at, part):
    examples = [Example(s, s.references[0]) for s in samples[:2]]
    found = example_states(lmm, examples, [3], positions=at)
    for i, e in enumerate(examples):
        ids, states = library_states(lmm, e.sample.open(), lmm.prompt, e.answer)
        start = ids.index(lmm.tokenizer.convert_tokens_to_ids("<assistant>")) + 1
        expected = states[3][list(part(start, len(ids) - 1 - start))].mean(0)
        torch.testing.assert_close(found.by_layer[3][i], expected, rtol=1e-3, atol=1e-3)


def test_the_states_of_a_question_end_before_the_template_goes_on(lmm, asked, library_states):
    examples = [Example(s, "yes") for s in asked[:2]]
    found = example_states(lmm, examples, [3], positions="question:-1")
    for i, e in enumerate(examples):
        ids, states = library_states(lmm, e.sample.open(), e.sample.question, "yes")
        last = ids.index(lmm.tokenizer.convert_tokens_to_ids("<assistant>")) - 1
        torch.testing.assert_close(found.by_layer[3][i], states[3][last], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("method", ["mean", "l2s"])
def test_a_steering_is_made_of_the_states_that_are_asked_for(lmm, asked, tmp_path, method):
    """With the positions in its manifest, and other vectors than those of the task's own positions."""
    own, other = (
        make_steering(lmm, YES_NO, asked, SteeringOptions((6,), read_at=at), method=method, out=tmp_path / str(at))
        for at in (None, "question:-1")
    )
    assert (own.parameters["read_at"], other.parameters["read_at"]) == ("last", "question:-1")
    name = next(iter(own.tensors))
    assert not torch.allclose(own.tensors[name], other.tensors[name])


def test_means_that_are_accumulated_are_those_of_the_states_that_are_kept(lmm, samples):
    examples = [Example(s, s.references[0]) for s in samples[:7]]
    kept = example_states(lmm, examples, [3, "final"], batch_size=3)
    means = example_states(lmm, examples, [3, "final"], batch_size=3, means=True)
    assert means.medians == kept.medians
    assert means.examples == kept.examples
    for layer, Z in kept.by_layer.items():
        assert means.by_layer[layer].shape == (1, Z.shape[1])
        torch.testing.assert_close(means.by_layer[layer][0], Z.double().mean(0), rtol=1e-6, atol=1e-6)
