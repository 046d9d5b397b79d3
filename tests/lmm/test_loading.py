"""What is loaded is an image-text-to-text model with all of its files, in the precision that was asked for."""

from __future__ import annotations

import json
import shutil
import time

import pytest
import torch
from transformers import (
    BertConfig,
    LlamaConfig,
    LlamaForCausalLM,
)

from vitrail.errors import ModelError
from vitrail.lmm import load

REQUESTS = ["describe the image .", "is it night ?"]


def test_a_language_model_is_no_image_text_to_text_model(tmp_path):
    config = LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    BertConfig().save_pretrained(tmp_path / "bert")
    for kind in ("llama", "bert"):
        with pytest.raises(ModelError, match=f"is not an image-text-to-text model: it is of type '{kind}'"):
            load(tmp_path / kind)


@pytest.mark.parametrize("name", ["no/such/folder", "./nowhere", "no-such/model", "nothing", "/tmp"])
def test_what_is_neither_a_folder_nor_on_the_hub_is_refused_at_once(name):
    start = time.perf_counter()
    with pytest.raises(ModelError, match=f"{name} is neither a model folder nor a model on the hub"):
        load(name)
    assert time.perf_counter() - start < 10  # it does not wait for a network


UNKNOWN = [
    ({"model_type": "tomorrow"}, "it has 'tomorrow'"),
    ({"model_type": "llava", "vision_config": {"model_type": "my-eye"}}, "its vision_config has 'my-eye'"),
    ({"model_type": "llava", "text_config": {"model_type": "my-voice"}}, "its text_config has 'my-voice'"),
    ({"model_type": "blip-2", "text_config": {"model_type": "my-voice"}}, "its text_config has 'my-voice'"),
    (
        {
            "model_type": "vision-encoder-decoder",
            "encoder": {"model_type": "my-eye"},
            "decoder": {"model_type": "gpt2"},
        },
        "its encoder has 'my-eye'",
    ),
]


@pytest.mark.parametrize(("settings", "message"), UNKNOWN)
def test_a_type_that_transformers_does_not_know_is_named(tmp_path, settings, message):
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=f"was read, but transformers .* does not know .*{message}") as raised:
        load(tmp_path)
    assert len(str(raised.value)) < 600  # and not all the types that it does know


WRONG = [
    {"model_type": "llava", "text_config": {"model_type": "llama", "hidden_size": "x"}},
    {"hidden_size": 8},
]


@pytest.mark.parametrize("settings", WRONG)
def test_a_configuration_that_cannot_be_used_is_not_a_missing_one(tmp_path, settings):
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=f"The configuration of {tmp_path} cannot be used: "):
        load(tmp_path)


def test_a_model_without_a_processor_is_refused(other_model, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(other_model / name, tmp_path)
    with pytest.raises(ModelError, match=f"{tmp_path}"):
        load(tmp_path)


def test_damaged_weights_are_refused(other_model, tmp_path):
    shutil.copytree(other_model, tmp_path, dirs_exist_ok=True)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match=r"could not be loaded"):
        load(tmp_path)


def test_a_narrower_dtype_is_loaded_and_read_as_such(other, other_model, images):
    narrow = load(other_model, dtype="bfloat16", device="cpu")
    assert narrow.dtype == "bfloat16"
    inputs = narrow.prepare(images[:2], REQUESTS)
    positions = [inputs["input_ids"].shape[1] - 1] * 2
    states = narrow.states(inputs, [()] * 2, positions, [0, 1])
    assert {s.dtype for s in states.values()} == {torch.bfloat16}
    wide = other.states(other.prepare(images[:2], REQUESTS), [()] * 2, positions, [0])[0]
    torch.testing.assert_close(states[0].float(), wide, rtol=1e-2, atol=1e-2)
    assert narrow.logits(states[1], 1).dtype == torch.float32


def test_a_loaded_model_is_still_and_asks_for_no_gradient(lmm):
    assert not lmm.model.training
    assert not any(p.requires_grad for p in lmm.model.parameters())
    assert lmm.tokenizer.padding_side == "left"


def test_a_prompt_of_ones_own_is_kept(other_model):
    assert load(other_model, prompt="what is it ?", device="cpu").prompt == "what is it ?"
