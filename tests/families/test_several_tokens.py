"""Heads that predict several tokens: left out of the model as it is loaded, and of how it speaks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers as t
from safetensors.torch import load_file, save_file

from families.builders import shaken
from families.tiny import build
from vitrail.lmm import LMM, from_transformers, quieten
from vitrail.lmm.doctor import doctor, noise

#: Checks of the doctor that need an image.
OF_IMAGES = ("image", "several images")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Step 3.7 with a further block that predicts the token after the next, as its released weights have three."""
    network = shaken(build("step3p7", text_alone="its image processor needs torchvision").network)
    text = network.config.get_text_config()
    text.num_nextn_predict_layers, text.mtp_layer_types, text.mtp_mlp_layer_types = 1, ["full_attention"], ["sparse"]
    sight = network.config.vision_config
    sight.mlp_ratio = sight.intermediate_size / sight.hidden_size  # by which a configuration that is read computes it
    folder = tmp_path_factory.mktemp("mtp")
    network.generation_config.use_mtp = True
    network.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    block = {k: v for k, v in weights.items() if k.startswith("model.layers.2.")}
    assert block
    more = {k.replace(".layers.2.", ".layers.3."): torch.randn_like(v) for k, v in block.items()}
    save_file(weights | more, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def both(folder) -> tuple[LMM, LMM]:
    """The model without such a head, and the one that was read from a file with it."""
    quieten()
    made = build("step3p7", text_alone="its image processor needs torchvision")
    read = t.AutoModelForImageTextToText.from_pretrained(folder)
    assert read.generation_config.use_mtp
    return (
        from_transformers(shaken(made.network), made.processor, "without"),
        from_transformers(read, made.processor, "with"),
    )


def test_its_states_are_those_of_the_model_without(both):
    pictures, states = noise(2), []
    for lmm in both:
        assert lmm.n_blocks == 3
        inputs = lmm.prepare(pictures, [lmm.prompt] * 2)
        width = inputs["input_ids"].shape[1]
        states.append(lmm.states(inputs, [()] * 2, [width - 1] * 2, [0, 1, 2, 3, "final"]))
    for layer, expected in states[0].items():
        torch.testing.assert_close(states[1][layer], expected)


def test_the_doctor_finds_nothing(both):
    checks = [check for check in doctor(both[1]).checks if check.name not in OF_IMAGES]
    assert [check for check in checks if check.passed is False] == []


def test_no_token_is_guessed_ahead(both):
    """transformers would read the heads then, from the folder, and refuses batches."""
    without, heads = both
    assert heads.caption(noise(2), max_new_tokens=6) == without.caption(noise(2), max_new_tokens=6)
    own = heads.with_own_generation()
    assert "use_mtp" not in own.describe().generation
    expected = without.with_own_generation().caption(noise(2), max_new_tokens=6)
    assert own.caption(noise(2), max_new_tokens=6) == expected
