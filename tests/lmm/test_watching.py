"""Watching a model while it generates changes nothing, and keeps the states that another pass would read."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from torch import nn

from vitrail.errors import ModelError
from vitrail.lmm import hooks, load
from vitrail.lmm.watching import Spoken

LAYERS = (0, 3, -1, "final")


@pytest.fixture(scope="module")
def asked(lmm, dogs):
    """A batch of eight dogs, and what the model says of them, unwatched."""
    inputs = lmm.prepare_samples(dogs[:8])
    return inputs, lmm.generate(inputs, 40)


def watched(lmm, inputs, **more):
    heard: list[Spoken | ModelError] = []
    with lmm.watched(LAYERS, heard.append):
        lmm.model.generate(**inputs, max_new_tokens=40, **more)
    return heard


def test_what_is_generated_is_the_same_to_the_last_bit(lmm, asked):
    inputs, _ = asked
    settings = {"max_new_tokens": 40, "output_scores": True, "return_dict_in_generate": True}
    plain = lmm.model.generate(**inputs, **settings)
    with lmm.watched(LAYERS, lambda spoken: None):
        again = lmm.model.generate(**inputs, **settings)
    assert torch.equal(plain.sequences, again.sequences)
    assert all(torch.equal(a, b) for a, b in zip(plain.scores, again.scores, strict=True))


def test_states_are_those_that_a_pass_over_the_answer_reads(lmm, asked):
    inputs, answers = asked
    (heard,) = watched(lmm, inputs)
    width = inputs["input_ids"].shape[1]
    own = lmm.layers(LAYERS)
    for step in (0, 1, 2):
        want = lmm.states(inputs, [a.ids for a in answers], [width + step - 1] * 8, own)
        for layer in own:
            torch.testing.assert_close(heard.at(layer, range(8), [step] * 8), want[layer], rtol=1e-4, atol=1e-4)


def test_the_ids_are_those_that_were_generated(lmm, asked):
    inputs, answers = asked
    (heard,) = watched(lmm, inputs)
    assert [lmm.backend.generation(ids) for ids in heard.ids.tolist()] == answers


def test_our_own_generation_and_sampled_answers_are_heard_too(lmm, asked):
    inputs, answers = asked
    heard = watched(lmm, inputs, do_sample=True, num_return_sequences=2)
    with lmm.watched(LAYERS, heard.append):
        assert lmm.generate(inputs, 40) == answers
    assert [len(one.ids) for one in heard] == [16, 8]


@pytest.mark.parametrize("settings", [{"num_beams": 2}, {"num_beams": 2, "num_return_sequences": 2}])
def test_what_cannot_be_followed_is_said(lmm, asked, settings):
    (heard,) = watched(lmm, asked[0], **settings)
    assert isinstance(heard, ModelError)
    assert "cannot be told apart" in str(heard)


def test_without_a_cache_the_states_are_the_same(lmm, asked):
    inputs, _ = asked
    (with_cache,), (without,) = watched(lmm, inputs), watched(lmm, inputs, use_cache=False)
    assert torch.equal(with_cache.ids, without.ids)
    for layer in lmm.layers(LAYERS):
        both = (torch.stack(list(one.states[layer])) for one in (with_cache, without))
        torch.testing.assert_close(*both, rtol=1e-3, atol=1e-3)


def test_each_thread_hears_its_own_answers(lmm, dogs):
    batches = [lmm.prepare_samples([dog]) for dog in dogs[:6]]
    alone = [lmm.generate(batch, 40)[0] for batch in batches]
    heard: list[Spoken] = []
    with lmm.watched(LAYERS, heard.append), ThreadPoolExecutor(3) as pool:
        said = list(pool.map(lambda batch: lmm.generate(batch, 40)[0], batches))
    assert said == alone
    of_ids = {lmm.backend.generation(one.ids[0].tolist()).text for one in heard}
    assert len(heard) == 6
    assert of_ids == {one.text for one in alone}


def test_an_adapter_on_top_is_watched_once(asked):
    adapted = load("toyland", adapter="toyland:place", device="cpu")
    (heard,) = watched(adapted, asked[0])
    assert len({len(of_layer) for of_layer in heard.states.values()}) == 1
    assert len(heard.states[3]) == heard.ids.shape[1]


def test_passes_outside_of_generation_and_answers_that_fail_are_passed_over(lmm, asked, monkeypatch):
    inputs, answers = asked
    heard: list[Spoken] = []
    with lmm.watched(LAYERS, heard.append):
        lmm.states(inputs, [a.ids for a in answers], [3] * 8, [3])
        with pytest.raises(ValueError, match="max_new_tokens"):
            lmm.model.generate(**inputs, max_new_tokens=-1)
        lmm.generate(inputs, 40)
    assert len(heard) == 1


def test_afterwards_the_model_is_as_it_was(lmm, asked):
    lmm.generate(asked[0], 40)  # transformers puts hooks of its own on a model when it first runs
    before, hooks_before = copy.copy(vars(lmm.model)), hooks_of(lmm.model)
    watched(lmm, asked[0])
    assert vars(lmm.model) == before
    assert hooks_of(lmm.model) == hooks_before


def hooks_of(model) -> list:
    return [hook for m in model.modules() for hook in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]


class Speaker(nn.Module):
    def say(self, text: str) -> str:
        return text.upper()


def test_a_method_is_heard_on_the_object_alone_and_put_back_as_it_was():
    one, other, heard = Speaker(), Speaker(), []
    with hooks.around(one, "say", lambda: heard.append("begin"), heard.append):
        assert (one.say("a"), other.say("b")) == ("A", "B")
        with hooks.around(one, "say", lambda: None, lambda result: heard.append(f"inner {result}")):
            one.say("c")
    one.say("d")
    assert heard == ["begin", "A", "begin", "C", "inner C"]
    assert "say" not in vars(one)


def test_backends_without_states_cannot_be_watched(lmm):
    class Elsewhere:
        tokenizer = lmm.tokenizer

    with (
        pytest.raises(ModelError, match="gives no access to its states"),
        replace(lmm, backend=Elsewhere()).watched([1], print),
    ):
        pass
