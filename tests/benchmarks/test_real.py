"""The small real model of benchmarks/real, as far as it can be tested without photographs, weights or a network."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

pytest.importorskip("peft")

from benchmarks.real.assemble import assemble
from benchmarks.real.captioner import Captioner, Connector
from benchmarks.real.features import pixels, view
from benchmarks.real.modeling import EfficientNetLiteConfig, EfficientNetLiteModel
from benchmarks.real.packing import pack
from benchmarks.real.parts import fold
from benchmarks.real.photographs import clean, names_a_side
from benchmarks.real.scores import cider_d, rewards
from benchmarks.real.train import Settings, Split, Training, batches, begin, run
from benchmarks.real.vocabulary import PROMPT as PROMPT_TEXT
from benchmarks.real.vocabulary import Small
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import Gemma3TextConfig, Gemma3TextModel, PreTrainedTokenizerFast

import vitrail

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


def test_a_batch_norm_is_folded_into_its_convolution() -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch")
    torch.manual_seed(0)
    network = package.EfficientNet.from_name("efficientnet-lite2", image_size=64).eval()
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_mean, -0.1, 0.1)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    tower = EfficientNetLiteModel(EfficientNetLiteConfig(image_size=64, grid=2)).eval()
    tower.load_state_dict(fold(network))
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = network.extract_features(x).flatten(2).transpose(1, 2)
        torch.testing.assert_close(tower(x).last_hidden_state, expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def tiny_cache(tmp_path: Path) -> Path:
    """Parts and a run as the cache has them, all of random weights; the vocabulary is whole, of 40 tokens."""
    tokens = ["<eos>", "<bos>", "Caption", ":", "<unused0>", *(f"▁w{i}" for i in range(5, 40))]
    inner = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="▁w39"))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "merged_with_next"), pre_tokenizers.Split(":", "isolated")]
    )
    inner.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<eos>",
        additional_special_tokens=["<unused0>"],
    )
    language = tiny_language()
    for name in ("language", "reduced"):
        language.save_pretrained(tmp_path / name)
    tokenizer.save_pretrained(tmp_path / "language")
    (tmp_path / "reduced" / "vocabulary.json").write_text(
        json.dumps({"kept": [*range(40)], "pieces": tokens, "start": START, "end": END, "prompt": PROMPT})
    )
    tower = EfficientNetLiteModel(EfficientNetLiteConfig())
    with torch.no_grad():
        for p in tower.parameters():  # so that what is seen depends on the image
            p.mul_(2.0)
    tower.save_pretrained(tmp_path / "vision")
    connector = Connector(torch.rand(1280), torch.rand(1280) + 0.5, 16)
    model = Captioner(language, connector, rank=2, alpha=4, dropout=0.0, start=START, prompt=PROMPT, end=END)
    for p in model.trained().values():
        nn.init.normal_(p, std=0.2)
    data = photographs()
    settings = Settings(rank=2)
    Training(model, data, settings, SMALL).save_best(tmp_path / "runs" / "run" / "best.safetensors")
    (tmp_path / "runs" / "run" / "settings.json").write_text(json.dumps(asdict(settings)))
    return tmp_path


def test_the_assembled_folder_computes_what_was_trained(tiny_cache: Path) -> None:
    folder = assemble(tiny_cache, "run", tiny_cache / "model")
    lmm = vitrail.load(folder, trust_remote_code=True, device="cpu")
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (224, 224, 3), dtype=np.uint8)) for _ in range(3)]

    stored = load_file(tiny_cache / "runs" / "run" / "best.safetensors")
    connector = Connector(stored["connector.mean"], stored["connector.std"], 16)
    model = Captioner(tiny_language(), connector, rank=2, alpha=4, dropout=0.0, start=START, prompt=PROMPT, end=END)
    begin(model, tiny_cache / "runs" / "run" / "best.safetensors")
    tower = EfficientNetLiteModel.from_pretrained(tiny_cache / "vision").eval()
    with torch.no_grad():
        seen = torch.stack([pixels(view(image, 0, [], 256)) for image in images])
        features = tower(seen).last_hidden_state
        ids = torch.tensor([[START, *[0] * 16, *PROMPT]] * 3)
        expected = model.eval().language(inputs_embeds=model.read(features, ids)).last_hidden_state
        batch = lmm.prepare(images, [PROMPT_TEXT] * 3)
        found = lmm.model.model(**batch).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert (expected[0, -1] - expected[1, -1]).abs().max() > 0.01, "the image must matter"
    assert lmm.caption(images, max_new_tokens=6)


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


def test_the_reward_of_a_caption_is_its_cider_d_among_all_photographs() -> None:
    references = [["a dog runs", "a brown dog"], ["a man sits"], ["two girls play"], ["snow on a hill"]]
    captions = [["a dog runs", "a man"], ["a man sits", "snow"]]
    found = rewards(captions, references[:2], references[2:])
    for k in range(2):
        whole = cider_d([captions[0][k], captions[1][k], "two girls", ""], references)
        np.testing.assert_allclose(found[:, k], whole[:2])


def test_training_on_the_reward_makes_the_better_of_two_captions_likelier() -> None:
    data = photographs()
    good, bad = data.captions[0][0], [39, 39]
    settings = Settings(epochs=5, batch=10, warmup=1, views=2, samples=2)
    training = Training(tiny_captioner(dropout=0.0), data, settings, SMALL)
    training.model.say = lambda features, samples: [good, bad] * len(features)

    def ahead() -> float:
        losses = training.model(data.seen(np.arange(1), np.zeros(1, int)), packed := training.packed([[good, bad]]))
        return (losses * (2.0 * packed.caption - 1)).sum().item()

    before = ahead()
    for _ in range(training.steps):
        training.advance()
    assert ahead() > before + 0.1


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
