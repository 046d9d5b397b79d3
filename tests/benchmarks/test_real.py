"""The small real model of benchmarks/real, as far as it can be tested without photographs, weights or a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

pytest.importorskip("peft")

from benchmarks.real.captioner import Captioner, Connector
from benchmarks.real.features import view
from benchmarks.real.packing import pack
from benchmarks.real.photographs import clean, names_a_side
from benchmarks.real.train import Settings, Split, Training, batches, run
from benchmarks.real.vocabulary import Small
from transformers import Gemma3TextConfig, Gemma3TextModel

FEATURES, POSITIONS, START, END, PROMPT = 12, 4, 1, 0, [2, 3]
SMALL = Small(torch.arange(40), [f"▁w{i}" for i in range(40)], START, END, PROMPT)


def tiny_language() -> Gemma3TextModel:
    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=40,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        layer_types=["sliding_attention", "full_attention"],
        pad_token_id=0,
    )
    config._attn_implementation = "sdpa"
    return Gemma3TextModel(config).requires_grad_(False)


def tiny_captioner(dropout: float = 0.1) -> Captioner:
    language = tiny_language()
    connector = Connector(torch.rand(FEATURES), torch.rand(FEATURES) + 0.5, 16, dropout)
    model = Captioner(language, connector, rank=2, alpha=4, dropout=dropout, start=START, prompt=PROMPT, end=END)
    for p in model.trained().values():  # a LoRA begins as zero, where a fault of its own would not be seen
        nn.init.normal_(p, std=0.2)
    return model


def photographs(n: int = 10, views: int = 2) -> Split:
    rng = np.random.default_rng(0)
    captions = [[[int(t) for t in rng.integers(4, 40, rng.integers(1, 7))] for _ in range(3)] for _ in range(n)]
    features = rng.random((n, views, POSITIONS, FEATURES)).astype(np.float16)
    texts = [[SMALL.text(c) for c in each] for each in captions]
    return Split(features, captions, texts, np.zeros(n, bool))


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("A black dog and a spotted dog are fighting", "A black dog and a spotted dog are fighting"),
        ("a man , in  red , runs .", "A man, in red, runs"),
        ('" Two girls play . "', "Two girls play"),
        ("The man 's dog . . .", "The man's dog"),
        (" . ", ""),
    ],
)
def test_a_caption_is_cleaned(raw: str, cleaned: str) -> None:
    assert clean(raw) == cleaned


def test_a_caption_that_names_a_side_is_known() -> None:
    assert names_a_side(["A dog", "The man on the Left"])
    assert not names_a_side(["A bright leftover", "A dog that has run"])


def test_the_loss_of_a_packed_row_is_that_of_its_captions_alone() -> None:
    model, data = tiny_captioner().eval(), photographs()
    rows = np.arange(4)
    features = data.seen(rows, np.zeros(4, int))
    packed = pack(data.captions[:4], positions=POSITIONS, start=START, prompt=PROMPT, end=END)
    alone = []
    for i in rows:
        for caption in data.captions[i]:
            ids = torch.tensor([[START, *[0] * POSITIONS, *PROMPT, *caption]])
            states = model.language(inputs_embeds=model.read(features[i : i + 1], ids)).last_hidden_state[0]
            logits = states[-len(caption) - 1 :] @ model.embedding.weight.T
            alone.append(F.cross_entropy(logits, torch.tensor([*caption, END]), reduction="none"))
    torch.testing.assert_close(model(features, packed), torch.cat(alone))
    assert len(packed.target) == sum(len(c) + 1 for each in data.captions[:4] for c in each)


def test_what_is_said_is_the_likeliest_token_after_another() -> None:
    model, data = tiny_captioner().eval(), photographs()
    features = data.seen(np.arange(3), np.zeros(3, int))
    said = model.say(features, longest=5)
    for i in range(3):
        ids = [START, *[0] * POSITIONS, *PROMPT]
        for token in [*said[i], END][:5]:
            states = model.language(inputs_embeds=model.read(features[i : i + 1], torch.tensor([ids])))
            assert token == int((states.last_hidden_state[0, -1] @ model.embedding.weight.T).argmax())
            ids.append(token)


def test_a_folded_connector_computes_the_same() -> None:
    connector = Connector(torch.rand(FEATURES), torch.rand(FEATURES) + 0.5, 16).eval()
    folded = {name.replace(".", "_"): w for name, w in connector.folded().items()}
    x = torch.rand(3, POSITIONS, FEATURES)
    inner = F.gelu(F.linear(x, folded["linear_1_weight"], folded["linear_1_bias"]))
    torch.testing.assert_close(F.linear(inner, folded["linear_2_weight"], folded["linear_2_bias"]), connector(x))


def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    settings, data = Settings(epochs=2, batch=4, warmup=2, views=2, average=0.9), photographs()

    def training() -> Training:
        torch.manual_seed(3)
        return Training(tiny_captioner(), data, settings, SMALL)

    whole = training()
    run(whole, data, tmp_path / "whole", say=lambda line: None)

    killed = training()
    for _ in range(2):  # in the middle of the first epoch
        killed.advance()
    killed.save(tmp_path / "killed" / "checkpoint.pt")
    resumed = training()
    run(resumed, data, tmp_path / "killed", say=lambda line: None)

    assert resumed.step == whole.step == 6
    for name, weights in whole.mean.items():
        torch.testing.assert_close(resumed.mean[name], weights, rtol=0, atol=0)


def test_every_photograph_is_seen_once_an_epoch_and_sides_are_not_mirrored() -> None:
    data = replace(photographs(n=11, views=4), sided=np.arange(11) % 2 == 0)
    steps = [step for epoch in range(20) for step in batches(data, Settings(batch=4), epoch)]
    rows, views = (np.concatenate([step[k] for step in steps]) for k in (0, 1))
    assert (np.bincount(rows) == 20).all()
    assert set(views[data.sided[rows]]) == {0, 2}
    assert set(views[~data.sided[rows]]) == {0, 1, 2, 3}


def test_views_are_the_whole_its_mirror_and_cuts_that_a_seed_draws() -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8))
    seen = [np.array(view(image, v, [5], 32)) for v in range(4)]
    np.testing.assert_array_equal(seen[0], np.array(image))
    np.testing.assert_array_equal(seen[1], np.array(image)[:, ::-1])
    np.testing.assert_array_equal(seen[2], np.array(view(image, 2, [5], 32)))
    assert (seen[2] != np.array(view(image, 2, [6], 32))).any()
