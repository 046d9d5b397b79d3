"""A small LLaVA of another structure than the bundled one, and images of noise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from transformers import (
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Qwen2Config,
)

from vitrail.lmm import load
from vitrail.toyland import model_path


@pytest.fixture(scope="session")
def images() -> list[Image.Image]:
    """Four images of noise."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 112, 112, 3), dtype=np.uint8)
    return [Image.fromarray(pixels) for pixels in noise]


@pytest.fixture(scope="session")
def other_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random LLaVA of another structure: three Qwen blocks of width 48, grouped queries, an embedding of its own."""
    folder = tmp_path_factory.mktemp("other")
    for path in model_path().iterdir():
        if path.suffix != ".safetensors" and path.name not in ("config.json", "generation_config.json"):
            shutil.copy(path, folder)
    bundled = json.loads((model_path() / "config.json").read_text())
    size = {name: bundled["vision_config"][name] for name in ("image_size", "patch_size")}
    vision = CLIPVisionConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=4, num_attention_heads=2, **size)
    text = Qwen2Config(
        vocab_size=bundled["text_config"]["vocab_size"],
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.3,
        tie_word_embeddings=False,
        **{name: bundled["text_config"][name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")},
    )
    torch.manual_seed(0)
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=bundled["image_token_index"],
        image_seq_length=bundled["image_seq_length"],
        tie_word_embeddings=False,
        pad_token_id=0,
    )
    network = LlavaForConditionalGeneration(config)
    nn.init.uniform_(network.get_decoder().norm.weight, 0.3, 3)  # a norm with unit gain can be applied twice unseen
    nn.init.zeros_(network.lm_head.weight[config.image_token_index])  # the image's token is never said
    network.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def other(other_model):
    return load(other_model, device="cpu")
