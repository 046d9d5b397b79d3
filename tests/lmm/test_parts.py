"""Blocks, final norm and unembedding are found by structure, and a model is described as it is."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    CLIPVisionConfig,
    Gemma3nTextConfig,
    Glm5NextTextConfig,
    Inkling2TextConfig,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    Qwen4ExpTextConfig,
)

from vitrail.errors import ModelError, UsageError
from vitrail.lmm import ModelDescription, find_parts, fingerprint, load, load_as
from vitrail.lmm.description import NEWER
from vitrail.lmm.families import FAMILIES
from vitrail.lmm.finding import check_readable


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


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.5,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config).eval()


OF_LLAMA = {"blocks": "model.layers", "norm": "model.norm", "unembedding": "lm_head"}


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_a_head_that_no_accessor_gives_is_found_by_a_pass(monkeypatch, scale):
    """Also where the logits are scaled after it."""
    model = llama()
    monkeypatch.setattr(LlamaForCausalLM, "get_output_embeddings", lambda self: None)
    if scale != 1:
        forward = LlamaForCausalLM.forward

        def scaled(self, *args, **kwargs):
            out = forward(self, *args, **kwargs)
            out.logits = out.logits * scale
            return out

        monkeypatch.setattr(LlamaForCausalLM, "forward", scaled)
    assert find_parts(model).names == OF_LLAMA


def test_of_two_lists_of_one_length_the_blocks_are_those_that_the_norm_reads():
    model = llama()
    earlier = model.model.earlier = nn.ModuleList([nn.Identity(), nn.Identity()])
    model.model.layers[0].register_forward_pre_hook(lambda _, given: (earlier[1](earlier[0](given[0])), *given[1:]))
    assert find_parts(model).names == OF_LLAMA


@pytest.mark.parametrize(
    "said",
    [{"head": "lm_head"}, {"norm": "model.norm", "blocks": "model.layers"}, {"connector": "model.embed_tokens"}],
)
def test_what_a_user_says_is_taken_and_the_rest_is_found(said):
    names = find_parts(llama(), said).names
    assert names == OF_LLAMA | {part: name for part, name in said.items() if part == "connector"}


def test_a_model_that_is_said_to_have_no_norm_has_none():
    model = llama()
    model.model.norm = nn.Identity()
    assert isinstance(find_parts(model, {"norm": "none"}).norm, nn.Identity)
    with pytest.raises(ModelError, match="The logits of LlamaForCausalLM do not come from norm=none"):
        find_parts(llama(), {"norm": "none"})


#: What a user says wrongly → what is answered.
WRONG = [
    ({"nrom": "model.norm"}, r"'nrom' is no part of a model\. Name blocks, norm, unembedding, vision, connector, head"),
    ({"norm": "model.nrom"}, r"has no module 'model\.nrom'\. As norm would fit: model\.norm\."),
    ({"blocks": "lm_head"}, r"at 'lm_head' what cannot be the part blocks\. As blocks would fit: model\.layers\."),
    ({"head": "model.norm"}, r"cannot be the part unembedding\. As unembedding would fit: lm_head\."),
    ({"head": "lm_head", "unembedding": "lm_head"}, "The part unembedding is named twice"),
    (
        {"norm": "model.layers.0.input_layernorm"},
        r"do not come from norm=model\.layers\.0\.input_layernorm: .* A pass shows .*, norm=model\.norm, unembedding=",
    ),
]


@pytest.mark.parametrize(("said", "answered"), WRONG)
def test_a_wrong_name_is_refused_with_those_that_would_fit(said, answered):
    with pytest.raises(ModelError, match=answered):
        find_parts(llama(), said)


def test_where_no_pass_can_be_made_it_is_told_how_a_part_is_named():
    with pytest.raises(ModelError, match=r"Name it: parts=\{'norm': …\} \(--part norm=…\)\. As norm would fit: .*one"):
        find_parts(Fake(strata=blocks(), one=nn.LayerNorm(4), two=nn.LayerNorm(4)))


def test_a_model_is_loaded_again_with_the_parts_and_the_template_that_were_said():
    said = {"connector": "model.multi_modal_projector", "norm": "model.language_model.norm"}
    lmm = load("toyland", device="cpu", parts=said, prompt_template="Q {image} {request} A: {answer}")
    again = load_as(ModelDescription.from_dict(lmm.describe().as_dict()), device="cpu")
    assert again.describe() == lmm.describe()
    assert again.parts.names["connector"] == "model.multi_modal_projector"
    assert again.describe().template == "Q <image> {request} A: {answer}"
    assert any("template" in phrase for phrase in load("toyland", device="cpu").differences(lmm.describe()))


def test_two_norms_that_no_pass_tells_apart_are_an_error():
    model = Fake(strata=blocks(), one=nn.LayerNorm(4), two=nn.LayerNorm(4))
    with pytest.raises(ModelError, match=r"Expected one final norm in Fake; found \['one', 'two'\]"):
        find_parts(model)


#: A configuration of transformers → its field that says so, and what is said.
OTHER = {
    "GLM 5": (Glm5NextTextConfig, "hc_mult", "hyper-connections"),
    "Qwen 4": (Qwen4ExpTextConfig, "hc_count", "hyper-connections"),
    "Gemma 3n": (Gemma3nTextConfig, "altup_num_inputs", "AltUp"),
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


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.refused])
def test_a_family_that_says_no_words_of_images_is_refused_by_name(name):
    with pytest.raises(ModelError, match=rf"^mine \({name}\) .*so it has no words of images to read"):
        check_readable(CONFIG_MAPPING[name](), "mine")
