"""Blocks, final norm and unembedding are found by structure, and a model is described as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import (
    CLIPVisionConfig,
    Glm5NextTextConfig,
    Inkling2TextConfig,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlavaConfig,
    Qwen4ExpTextConfig,
)

from vitrail.errors import ModelError, UsageError
from vitrail.lmm import ModelDescription, find_parts, fingerprint, load
from vitrail.lmm.description import NEWER


class Decoder(nn.Module):
    def __init__(self, **modules: nn.Module):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class Fake(nn.Module):
    """A model of two blocks of width 4 as far as transformers' accessors tell."""

    def __init__(self, head: bool = True, **modules: nn.Module):
        super().__init__()
        self.decoder = Decoder(**modules)
        self.head = nn.Linear(4, 9) if head else None
        text = LlamaConfig(hidden_size=4, num_hidden_layers=2, num_attention_heads=1)
        self.config = LlavaConfig(vision_config=CLIPVisionConfig(), text_config=text)

    def get_decoder(self):
        return self.decoder

    def get_output_embeddings(self):
        return self.head


def blocks(n: int = 2) -> nn.ModuleList:
    return nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)) for _ in range(n))


def test_parts_are_found_by_what_they_are_and_whatever_their_names():
    model = Fake(
        tok=nn.Embedding(9, 4), strata=blocks(), drop=nn.Dropout(), last=nn.LayerNorm(4), small=nn.LayerNorm(2)
    )
    parts = find_parts(model)
    assert parts.blocks is model.decoder.strata
    assert parts.norm is model.decoder.last
    assert parts.unembedding is model.head
    assert parts.names == {"blocks": "decoder.strata", "norm": "decoder.last", "unembedding": "head"}


def test_lists_inside_a_block_are_no_blocks():
    inner = nn.ModuleList(nn.Sequential(blocks(2)) for _ in range(2))
    model = Fake(strata=inner, norm=nn.LayerNorm(4))
    assert find_parts(model).blocks is inner


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"norm": nn.LayerNorm(4)}, "Expected one list of blocks in Fake; found none"),
        ({"a": blocks(3), "norm": nn.LayerNorm(4)}, "Expected one list of blocks in Fake; found none"),
        ({"a": blocks(), "b": blocks(), "norm": nn.LayerNorm(4)}, r"one list of blocks in Fake; found \['a', 'b'\]"),
        ({"a": blocks()}, "Expected one final norm in Fake; found none"),
        ({"a": blocks(), "m": nn.LayerNorm(4), "n": nn.LayerNorm(4)}, r"one final norm in Fake; found \['m', 'n'\]"),
        ({"a": blocks(), "m": nn.LayerNorm(4), "head": False}, "Fake has no output embeddings"),
    ],
)
def test_no_candidate_or_two_for_a_part_is_an_error(modules, message):
    with pytest.raises(ModelError, match=message):
        find_parts(Fake(**modules))


def test_a_model_without_a_decoder_is_an_error(monkeypatch):
    monkeypatch.setattr(Fake, "get_decoder", lambda self: None)
    with pytest.raises(ModelError, match="Fake has no decoder"):
        find_parts(Fake(strata=blocks(), norm=nn.LayerNorm(4)))


def test_a_model_of_another_structure_is_described_as_it_is(other, other_model):
    text = "model.language_model"
    found = other.describe()
    assert found.template == "<s><user><image> {request}<assistant> {answer}</s>"
    assert replace(found, **dict.fromkeys(NEWER)) == ModelDescription(
        name=str(other_model),
        revision=None,
        adapter=None,
        kind="LlavaForConditionalGeneration",
        dtype="float32",
        n_blocks=3,
        n_features=48,
        parts={"blocks": f"{text}.layers", "norm": f"{text}.norm", "unembedding": "lm_head"},
        fingerprint=fingerprint(other.model),
    )
    with pytest.raises(UsageError, match="0 to 3"):
        other.layer(4)


def test_other_weights_under_the_same_name_are_another_model(other_model):
    before = load(other_model, device="cpu")
    again = load(other_model, device="cpu")
    assert before.describe() == again.describe()
    with torch.no_grad():
        again.parts.blocks[1].mlp.down_proj.weight[-1, -1] += 1e-3
    assert before.describe().fingerprint != again.describe().fingerprint


def test_a_final_norm_that_is_called_a_norm_of_embeddings_is_found_by_a_pass():
    """LFM2 calls it `embedding_norm`."""
    size = {"vocab_size": 40, "hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2, "pad_token_id": 0}
    config = Lfm2Config(
        **size,
        num_key_value_heads=1,
        num_hidden_layers=2,
        layer_types=["conv", "full_attention"],
        block_auto_adjust_ff_dim=False,
    )
    model = Lfm2ForCausalLM(config).eval()
    assert find_parts(model).norm is model.model.embedding_norm
    assert find_parts(model).names["norm"] == "model.embedding_norm"


def test_two_norms_that_no_pass_tells_apart_are_an_error():
    model = Fake(strata=blocks(), one=nn.LayerNorm(4), two=nn.LayerNorm(4))
    with pytest.raises(ModelError, match=r"Expected one final norm in Fake; found \['one', 'two'\]"):
        find_parts(model)


#: A configuration of transformers → its field that says so, and what is said.
OTHER = {
    "GLM 5": (Glm5NextTextConfig, "hc_mult", "hyper-connections"),
    "Qwen 4": (Qwen4ExpTextConfig, "hc_count", "hyper-connections"),
    "Inkling 2": (Inkling2TextConfig, "n_layers_per_attn_res_block", "attention residuals"),
}


@pytest.mark.parametrize("name", OTHER)
def test_a_model_with_another_residual_stream_is_refused_with_the_reason(name):
    config, field, what = OTHER[name]
    model = Fake(strata=blocks(), norm=nn.LayerNorm(4))
    assert find_parts(model).norm is model.decoder.norm
    setattr(model.config.text_config, field, getattr(config(), field))
    with pytest.raises(ModelError, match=rf"^Fake has .* \({what}\): what its last block puts out"):
        find_parts(model)
