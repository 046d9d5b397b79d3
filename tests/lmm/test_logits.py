"""What models do to their logits after the unembedding is found on the models themselves, transformers' own."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    CohereConfig,
    Gemma2Config,
    GraniteConfig,
    LlamaConfig,
    T5Config,
    T5ForConditionalGeneration,
)

from vitrail.lmm import find_parts
from vitrail.lmm.logits import AfterUnembedding, after_unembedding

SIZE = {
    "vocab_size": 40,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "initializer_range": 0.5,
    "pad_token_id": 0,
}

#: A model → its configuration, and what it does.
MODELS = {
    "nothing": (LlamaConfig(**SIZE), AfterUnembedding()),
    "Granite divides": (GraniteConfig(**SIZE, logits_scaling=4.0), AfterUnembedding(0.25)),
    "Cohere multiplies": (CohereConfig(**SIZE, logit_scale=0.3), AfterUnembedding(0.3)),
    "Gemma 2 caps": (Gemma2Config(**SIZE, head_dim=8, final_logit_softcapping=5.0), AfterUnembedding(cap=5.0)),
    "a number that is not used": (LlamaConfig(**SIZE, logits_scaling=4.0), AfterUnembedding()),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_models_logits_are_those_of_its_unembedding_as_it_changes_them(name):
    config, expected = MODELS[name]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    found = after_unembedding(model, find_parts(model))
    assert found == expected
    ids = torch.tensor([[7, 9, 11]])
    with torch.no_grad():
        out = model(input_ids=ids, output_hidden_states=True)
        ours = found(model.get_output_embeddings()(out.hidden_states[-1]))
    torch.testing.assert_close(ours, out.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "scale"), [("hyperclovax_vision_v2", 4.0), ("granite_docling", 0.25)])
def test_one_name_of_a_factor_may_mean_a_product_or_a_quotient(kind, scale):
    config = CONFIG_MAPPING[kind]()
    text, vision = config.get_text_config(decoder=True), config.vision_config
    for name, value in {**SIZE, "num_hidden_layers": 2, "head_dim": 8, "logits_scaling": 4.0}.items():
        setattr(text, name, value)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    for name, value in {
        **sizes,
        "image_size": 28,
        "patch_size": 14,
        "depth": 1,
        "num_heads": 2,
        "embed_dim": 16,
    }.items():
        if hasattr(vision, name):
            setattr(vision, name, value)
    torch.manual_seed(0)
    model = AutoModelForImageTextToText.from_config(config).eval()
    assert after_unembedding(model, find_parts(model)) == AfterUnembedding(scale)


def test_a_factor_that_no_configuration_names_is_measured():
    """T5 with tied embeddings divides its final state by the root of its width before the unembedding."""
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=40,
        d_model=16,
        d_kv=8,
        d_ff=32,
        num_layers=2,
        num_heads=2,
        tie_word_embeddings=True,
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config).eval()
    found = after_unembedding(model, find_parts(model))
    assert found.scale == pytest.approx(16**-0.5, rel=1e-4)
    assert found.cap is None


def test_a_model_that_cannot_be_looked_at_is_taken_to_use_its_cap(monkeypatch):
    model = AutoModelForCausalLM.from_config(MODELS["Gemma 2 caps"][0]).eval()
    parts = find_parts(model)
    monkeypatch.setattr(type(model), "forward", lambda self, **inputs: 1 / 0)
    assert after_unembedding(model, parts) == AfterUnembedding(cap=5.0)


def test_it_is_said_what_a_scale_and_a_cap_do_to_words():
    assert str(AfterUnembedding()) == ""
    assert str(AfterUnembedding(0.25)) == "scaled by 0.25, which changes no order of words"
    assert "capped at 30 (tanh)" in str(AfterUnembedding(cap=30.0))
