"""The states we read are those that transformers computes, for the text that the model says, in any company."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    Gemma2Config,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    SiglipVisionConfig,
)

from vitrail.errors import ModelError, UsageError
from vitrail.lmm import LMM, find_parts, from_transformers
from vitrail.lmm.transformers_backend import TransformersBackend
from vitrail.toyland import model_path

REQUESTS = ["describe the image .", "what color is the dog on the grass ?", "is it night ?", "how many ?"]
ANSWERS = ["a brown dog running on the grass", "brown", "a small sailboat", "two dogs and a cat in the rain at night"]


@pytest.fixture(params=["lmm", "other"])
def model(request) -> LMM:
    return request.getfixturevalue(request.param)


# ---- states ----------------------------------------------------------------------------------------------------------


def test_states_of_every_layer_are_the_librarys_own_for_a_mixed_batch(model, images, library_states):
    """Requests of different lengths are padded on the left, answers on the right; each row must be as if alone."""
    inputs = model.prepare(images, REQUESTS)
    width = inputs["input_ids"].shape[1]
    prompts = inputs["attention_mask"].sum(1).tolist()
    assert len(set(prompts)) > 1
    answers = [model.continuation(r, a).ids for r, a in zip(REQUESTS, ANSWERS, strict=True)]
    assert len(set(map(len, answers))) > 1
    layers = [*range(model.n_blocks + 1), "final"]
    for offset in (-1, len(min(answers, key=len)) - 1):
        states = model.states(inputs, answers, [width + offset] * len(images), layers)
        for i, image in enumerate(images):
            expected = library_states(model, image, REQUESTS[i], ANSWERS[i])[1]
            assert len(expected) == model.n_blocks + 1
            for k in range(model.n_blocks):
                torch.testing.assert_close(states[k][i], expected[k][prompts[i] + offset], rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(states["final"][i], expected[-1][prompts[i] + offset], rtol=1e-3, atol=1e-3)
            with torch.no_grad():
                normed = model.parts.norm(states[model.n_blocks][i])
            torch.testing.assert_close(normed, expected[-1][prompts[i] + offset], rtol=1e-3, atol=1e-3)


def test_the_last_block_is_read_before_the_final_norm(model, images):
    inputs = model.prepare(images[:1], REQUESTS[:1])
    position = [inputs["input_ids"].shape[1] - 1]
    states = model.states(inputs, [()], position, [model.n_blocks, "final"])
    assert not torch.allclose(states[model.n_blocks], states["final"], rtol=1e-2)


def test_a_batch_is_as_its_rows_alone(model, images):
    answers = [model.continuation(r, a).ids for r, a in zip(REQUESTS, ANSWERS, strict=True)]
    last = [len(a) - 1 for a in answers]
    layers = [0, 1, model.n_blocks, "final"]

    def states(rows):
        inputs = model.prepare([images[i] for i in rows], [REQUESTS[i] for i in rows])
        width = inputs["input_ids"].shape[1]
        return model.states(inputs, [answers[i] for i in rows], [width + last[i] for i in rows], layers)

    together, alone = states([0, 1, 2, 3]), [states([i]) for i in range(4)]
    for layer in layers:
        torch.testing.assert_close(together[layer], torch.cat([a[layer] for a in alone]), rtol=1e-3, atol=1e-3)


def test_layers_read_in_one_pass_are_as_read_one_at_a_time(model, images):
    inputs = model.prepare(images, REQUESTS)
    positions = [inputs["input_ids"].shape[1] - 1] * len(images)
    layers = ["final", model.n_blocks, 0, 1]
    together = model.states(inputs, [()] * len(images), positions, layers)
    assert list(together) == layers
    for layer in layers:
        alone = model.states(inputs, [()] * len(images), positions, [layer])[layer]
        assert torch.equal(together[layer], alone)


def test_the_pass_ends_after_the_last_layer_wanted(lmm, images):
    inputs = lmm.prepare(images[:1], REQUESTS[:1])
    run = []
    handles = [b.register_forward_hook(lambda *_, k=k: run.append(k)) for k, b in enumerate(lmm.parts.blocks, 1)]
    lmm.states(inputs, [()], [inputs["input_ids"].shape[1] - 1], [2, 0])
    for handle in handles:
        handle.remove()
    # a hook of others on block 2 stands behind ours, which has ended the pass
    assert run in ([1], [1, 2])


# ---- logits ----------------------------------------------------------------------------------------------------------


def test_final_states_decode_to_the_models_own_logits_and_so_does_the_last_block_through_the_norm(model, images):
    inputs = model.prepare(images, REQUESTS)
    width = inputs["input_ids"].shape[1]
    states = model.states(inputs, [()] * len(images), [width - 1] * len(images), [model.n_blocks, "final"])
    with torch.no_grad():
        expected = model.model(**inputs).logits[:, -1]
    for layer, found in states.items():
        torch.testing.assert_close(model.logits(found, layer), expected, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def capped():
    """A random PaliGemma over Gemma 2, whose logits are soft-capped; it has no processor."""
    torch.manual_seed(0)
    text = Gemma2Config(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        query_pre_attn_scalar=16,
        initializer_range=1.0,
        final_logit_softcapping=5.0,
        pad_token_id=0,
    )
    vision = SiglipVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    config = PaliGemmaConfig(
        vision_config=vision, text_config=text, image_token_index=63, vocab_size=64, projection_dim=32, hidden_size=32
    )
    network = PaliGemmaForConditionalGeneration(config).eval()
    return LMM(TransformersBackend(network, None, find_parts(network)), "capped")


def test_logits_are_soft_capped_as_the_model_does_it(capped):
    ids = torch.tensor([[5, 9, 11, 30]])
    with torch.no_grad():
        out = capped.model(input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True)
    logits = capped.logits(out.hidden_states[-1][0], "final")
    assert 4 < out.logits.abs().max() < 5  # the cap of 5 is felt
    torch.testing.assert_close(logits, out.logits[0].float(), rtol=1e-4, atol=1e-4)


def test_another_family_has_its_parts_found(capped):
    assert capped.n_blocks == 2
    assert capped.n_features == 32
    assert capped.parts.unembedding is capped.model.get_output_embeddings()


# ---- what the model says ---------------------------------------------------------------------------------------------


def test_the_state_before_a_token_decodes_to_the_token_that_was_generated(model, images):
    """Generation keeps a cache and grows a left-padded batch; reading replays it whole: the two must agree."""
    inputs = model.prepare(images, REQUESTS)
    width = inputs["input_ids"].shape[1]
    said = model.generate(inputs, 5)
    for offset in range(5):
        rows = [i for i, g in enumerate(said) if len(g.ids) > offset]
        states = model.states(
            inputs, [g.ids for g in said], [width + min(offset, len(g.ids)) - 1 for g in said], [model.n_blocks]
        )[model.n_blocks]
        logits = model.logits(states, model.n_blocks)
        for i in rows:
            token = said[i].ids[offset]
            assert logits[i, token] >= logits[i].max() - 1e-3


def test_generation_of_a_batch_is_that_of_its_rows_alone(model, images):
    together = model.generate(model.prepare(images, REQUESTS), 5)
    alone = [model.generate(model.prepare([i], [r]), 5)[0] for i, r in zip(images, REQUESTS, strict=True)]
    assert together == alone


def test_what_is_generated_is_greedy_by_the_librarys_own_logits(model, images):
    said = model.generate(model.prepare(images[:1], REQUESTS[:1]), 4)[0].ids
    batch = dict(model.prepare(images[:1], REQUESTS[:1]))
    for token in said:
        with torch.no_grad():
            logits = model.model(**batch, use_cache=False).logits[0, -1]
        assert logits[token] >= logits.max() - 1e-3
        more = torch.tensor([[token]])
        batch["input_ids"] = torch.cat([batch["input_ids"], more], dim=1)
        batch["attention_mask"] = torch.cat([batch["attention_mask"], torch.ones_like(more)], dim=1)


def test_a_generation_has_no_prompt_end_or_padding(model, images):
    for said in model.generate(model.prepare(images, REQUESTS), 8):
        assert len(said.ids) <= 8
        assert not set(said.ids) & {model.tokenizer.eos_token_id, model.tokenizer.pad_token_id}
        assert said.text == model.tokenizer.decode(said.ids, skip_special_tokens=True)


def test_generation_stops_at_the_first_end(lmm):
    end = lmm.tokenizer.eos_token_id
    words = lmm.tokenizer.encode(" a dog", add_special_tokens=False)
    said = lmm.backend.generation([*words, end, *words, end])
    assert (list(said.ids), said.text) == (words, " a dog")


@pytest.mark.usefixtures("trained")
def test_the_bundled_model_says_what_it_sees(lmm, samples):
    captions = lmm.caption([s.open() for s in samples[:20]], batch_size=7, max_new_tokens=20)
    assert len(captions) == 20
    assert all(c == c.strip() and len(c.split()) >= 2 for c in captions)
    said = [{w for r in s.references for w in r.split() if len(w) > 2} - {"the", "and", "with"} for s in samples[:20]]
    assert np.mean([bool(words & set(c.split())) for words, c in zip(said, captions, strict=True)]) > 0.8


def test_a_caption_is_asked_for_by_the_given_prompt_or_the_models_own(lmm, images, monkeypatch):
    asked = []
    prepare = LMM.prepare
    monkeypatch.setattr(LMM, "prepare", lambda self, i, r: asked.append(list(r)) or prepare(self, i, r))
    lmm.caption(images[:3], max_new_tokens=1, batch_size=2)
    lmm.caption(images[:1], prompt="is it night ?", max_new_tokens=1)
    assert asked == [[lmm.prompt] * 2, [lmm.prompt], ["is it night ?"]]
    assert lmm.prompt == json.loads((model_path() / "config.json").read_text())["caption_prompt"]


def test_an_answer_is_forced_as_the_template_writes_it(lmm, images, library_states):
    answer = lmm.continuation(REQUESTS[0], "a brown dog")
    whole, _ = library_states(lmm, images[0], REQUESTS[0], "a brown dog")
    prompt = lmm.prepare(images[:1], REQUESTS[:1])["input_ids"][0].tolist()
    assert whole == [*prompt, *answer.ids, lmm.tokenizer.eos_token_id]
    assert answer.text == " a brown dog"


def test_a_batch_is_padded_on_the_left(lmm, images):
    mask = lmm.prepare(images, REQUESTS)["attention_mask"]
    assert (mask[:, -1] == 1).all()
    assert (mask[:, 0] == 0).any()


def test_a_template_in_the_tokenizer_serves_a_processor_that_has_none(lmm, images, monkeypatch):
    before = lmm.prepare(images[:1], ["What is it?"])["input_ids"]
    template = lmm.processor.chat_template
    monkeypatch.setattr(lmm.processor, "chat_template", None)
    monkeypatch.setattr(lmm.tokenizer, "chat_template", template)
    torch.testing.assert_close(lmm.prepare(images[:1], ["What is it?"])["input_ids"], before)


def test_a_model_that_generates_no_text_is_refused_by_name(lmm):
    with pytest.raises(ModelError, match=r"^CLIPVisionModel generates no text"):
        from_transformers(
            CLIPVisionModel(CLIPVisionConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)),
            lmm.processor,
            "eyes",
        )


def test_a_model_without_a_chat_template_is_refused_when_asked(lmm, images, monkeypatch):
    monkeypatch.setattr(lmm.processor, "chat_template", None)
    monkeypatch.setattr(lmm.tokenizer, "chat_template", None)
    with pytest.raises(ModelError, match="This LlavaForConditionalGeneration has no chat template"):
        lmm.prepare(images[:1], REQUESTS[:1])


# ---- layers ----------------------------------------------------------------------------------------------------------


def test_layers_go_by_their_own_names(lmm):
    n = lmm.n_blocks
    assert [lmm.layer(k) for k in (0, 1, n, -1, -n, np.int64(-1), "final")] == [0, 1, n, n, 1, n, "final"]


@pytest.mark.parametrize("layer", [9, -9, "last", "3", None, 2.0, True, False])
def test_a_layer_that_is_not_there_is_refused_and_the_range_named(lmm, layer):
    with pytest.raises(UsageError, match=r"toyland has layers 0 to 8, −1 to −8, and 'final'"):
        lmm.layer(layer)
