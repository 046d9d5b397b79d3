"""Scorers of several families, untrained and tiny, against transformers itself, torchmetrics and bert-score."""

from __future__ import annotations

import json
import logging
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitrail import scores
from vitrail.errors import ModelError, UsageError
from vitrail.lmm.scorers import ImageTextScorer, TextScorer, load_image_scorer, load_text_scorer

TEXTS = ["a dog", "A small black dog, on the grass.", "two cats"]


@pytest.fixture(scope="module")
def tokenizer():
    from tools.toyland import build
    from tools.toyland.train import corpus

    return build.tokenizer(corpus(60))


@pytest.fixture(scope="module")
def pictures() -> list[Image.Image]:
    from vitrail.toyland.draw import draw
    from vitrail.toyland.world import scene

    return [draw(scene(i)) for i in range(3)]


def save(model, processor, folder: Path) -> Path:
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip_folder(tokenizer, tmp_path_factory) -> Path:
    from tools.toyland import build

    return save(build.clip(len(tokenizer), 0), build.clip_processor(tokenizer), tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def text_folder(tokenizer, tmp_path_factory) -> Path:
    from tools.toyland import build

    folder = tmp_path_factory.mktemp("text")
    return save(build.text_encoder(len(tokenizer), 0), build.scorer_tokenizer(tokenizer), folder)


def siglip_folder(tokenizer, folder: Path) -> Path:
    from tools.toyland import build
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel, SiglipProcessor

    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = SiglipConfig(
        text_config={**size, "vocab_size": len(tokenizer), "max_position_embeddings": 24, "projection_size": 32},
        vision_config={**size, "image_size": 32, "patch_size": 16},
    )
    pixels = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    reader = build.scorer_tokenizer(tokenizer)
    reader.model_max_length = 24
    return save(SiglipModel(config), SiglipProcessor(image_processor=pixels, tokenizer=reader), folder)


def siglip2_folder(_tokenizer, folder: Path) -> Path:
    """Of the kind that keeps the proportions of a picture: its patches come with a mask and their number each way."""
    from transformers import Siglip2Config, Siglip2Model, Siglip2Processor, Siglip2Tokenizer
    from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

    torch.manual_seed(0)
    special = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
    vocabulary = {token: i for i, token in enumerate([*special, "▁", *"abcdefghijklmnopqrstuvwxyz,."])}
    reader = Siglip2Tokenizer(vocab=vocabulary, merges=[], model_max_length=24)
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = Siglip2Config(
        text_config={**size, "vocab_size": len(vocabulary), "max_position_embeddings": 24, "projection_size": 32},
        vision_config={**size, "num_patches": 16, "patch_size": 8},
    )
    pixels = Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    return save(Siglip2Model(config), Siglip2Processor(pixels, reader), folder)


def flava_folder(tokenizer, folder: Path) -> Path:
    from tools.toyland import build
    from transformers import FlavaConfig, FlavaImageProcessorPil, FlavaModel, FlavaProcessor

    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = FlavaConfig(
        text_config={**size, "vocab_size": len(tokenizer), "max_position_embeddings": 24},
        image_config={**size, "image_size": 32, "patch_size": 16},
        multimodal_config=size,
        image_codebook_config={"num_groups": 1, "hidden_size": 8, "num_blocks_per_group": 1, "vocab_size": 16},
        hidden_size=32,
        projection_dim=16,
    )
    square = {"height": 32, "width": 32}
    pixels = FlavaImageProcessorPil(size=square, crop_size=square)
    return save(FlavaModel(config), FlavaProcessor(pixels, build.scorer_tokenizer(tokenizer)), folder)


# ---- images and texts ------------------------------------------------------------------------------------------------


def test_clip_embeddings_are_transformers_own(clip_folder, pictures):
    from transformers import CLIPModel, CLIPProcessor

    scorer = load_image_scorer(clip_folder, device="cpu")
    model, processor = CLIPModel.from_pretrained(clip_folder).eval(), CLIPProcessor.from_pretrained(clip_folder)
    with torch.no_grad():
        out = model(**processor(text=TEXTS, images=pictures, padding=True, return_tensors="pt"))
    np.testing.assert_allclose(np.concatenate(scorer.images(pictures)), out.image_embeds, atol=1e-5)
    np.testing.assert_allclose(np.concatenate(scorer.texts(TEXTS)), out.text_embeds, atol=1e-5)


def test_clipscore_is_torchmetrics_in_other_units(clip_folder, pictures):
    """torchmetrics' own update, on the features of this model: 100·cos instead of 2.5·cos, before it cuts at 0."""
    from torchmetrics.functional.multimodal.clip_score import _clip_score_update
    from transformers import CLIPModel, CLIPProcessor

    class Plain(torch.nn.Module):  # torchmetrics expects features, transformers 5 gives an object that holds them
        def __init__(self) -> None:
            super().__init__()
            self.inner = CLIPModel.from_pretrained(clip_folder).eval()
            self.config = self.inner.config

        def get_image_features(self, pixels):
            return self.inner.get_image_features(pixel_values=pixels).pooler_output

        def get_text_features(self, ids, mask):
            return self.inner.get_text_features(input_ids=ids, attention_mask=mask).pooler_output

    tensors = [torch.from_numpy(np.array(p).transpose(2, 0, 1)) for p in pictures]
    with torch.no_grad():
        expected, _ = _clip_score_update(tensors, TEXTS, Plain(), CLIPProcessor.from_pretrained(clip_folder))
    scorer = load_image_scorer(clip_folder, device="cpu")
    ours = scores.clip_score(np.concatenate(scorer.images(pictures)), np.concatenate(scorer.texts(TEXTS)))
    np.testing.assert_allclose(np.diag(ours), 2.5 * np.maximum(expected.numpy() / 100, 0), atol=1e-5)
    assert ours.max() > 0


@pytest.mark.parametrize("family", [siglip_folder, siglip2_folder, flava_folder])
def test_other_families_load_and_a_batch_is_its_rows(family, tokenizer, pictures, tmp_path):
    pictures = [pictures[0], pictures[1].crop((0, 0, 100, 40)), pictures[2]]
    scorer = load_image_scorer(family(tokenizer, tmp_path), device="cpu")
    images, texts = np.concatenate(scorer.images(pictures)), np.concatenate(scorer.texts(TEXTS))
    assert images.shape[0] == texts.shape[0] == 3
    assert images.shape[1] == texts.shape[1]
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([scorer.texts([t])[0] for t in TEXTS]), texts, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([scorer.images([p])[0] for p in pictures]), images, atol=1e-5)
    assert np.abs(texts[0] - texts[1]).max() > 1e-3


def test_siglip_reads_texts_padded_to_their_full_length(tokenizer, tmp_path):
    from transformers import SiglipModel, SiglipProcessor

    folder = siglip_folder(tokenizer, tmp_path)
    model, processor = SiglipModel.from_pretrained(folder).eval(), SiglipProcessor.from_pretrained(folder)
    batch = processor.tokenizer(TEXTS, padding="max_length", max_length=24, return_tensors="pt")
    with torch.no_grad():
        out = model.get_text_features(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    expected = torch.nn.functional.normalize(out.pooler_output, dim=-1)
    found = np.concatenate(load_image_scorer(folder, device="cpu").texts(TEXTS))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_text_that_is_too_long_is_cut_and_that_is_said(clip_folder, caplog):
    scorer = load_image_scorer(clip_folder, device="cpu")
    long = " ".join(["dog"] * 200)
    with caplog.at_level(logging.WARNING, "vitrail.lmm.scorers"):
        found = scorer.texts([long, "a dog"])
    assert np.isfinite(found[0]).all()
    assert "1 of 2 texts are longer than the 96 tokens" in caplog.text


def test_the_fingerprint_is_of_weights_and_text_handling(clip_folder, tokenizer, tmp_path):
    from tools.toyland import build
    from transformers import CLIPModel, CLIPProcessor

    first = load_image_scorer(clip_folder, device="cpu")
    assert load_image_scorer(clip_folder, device="cpu").fingerprint == first.fingerprint
    other = save(build.clip(len(tokenizer), 1), build.clip_processor(tokenizer), tmp_path / "weights")
    assert load_image_scorer(other, device="cpu").fingerprint != first.fingerprint
    cased = CLIPProcessor(image_processor=build.image_processor(), tokenizer=tokenizer)
    same_weights = save(CLIPModel.from_pretrained(clip_folder), cased, tmp_path / "cased")
    assert load_image_scorer(same_weights, device="cpu").fingerprint != first.fingerprint


def test_toylands_tokenizer_reads_published_text_as_it_was_trained(tokenizer):
    from tools.toyland import build

    reader = build.scorer_tokenizer(tokenizer)
    published = scores.WORDS_PROMPT + scores.words_text(["black", "small"])
    assert reader.tokenize(published) == reader.tokenize(" a photo is described by the words black , small")
    assert reader.unk_token_id is None or reader.unk_token_id not in reader.encode(published)


def test_what_cannot_score_is_refused(clip_folder, text_folder, tmp_path):
    with pytest.raises(ModelError, match="could not be loaded as a scorer"):
        load_image_scorer(tmp_path, device="cpu")
    with pytest.raises(ModelError, match="no common space"):
        load_image_scorer(text_folder, device="cpu")
    with pytest.raises(UsageError, match="layers 0 to 2"):
        load_text_scorer(text_folder, layer=3, device="cpu")


def test_weights_that_are_missing_are_not_made_up(clip_folder, tmp_path):
    import shutil

    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(clip_folder, tmp_path / "clip")
    weights = load_file(folder / "model.safetensors")
    del weights["text_projection.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks 1 weights .*text_projection.weight"):
        load_image_scorer(folder, device="cpu")


# ---- open_clip -------------------------------------------------------------------------------------------------------


def test_open_clip_is_named_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(ModelError, match=r"vitrail\[open-clip\]"):
        load_image_scorer("open_clip:coca_ViT-B-32/laion2b", device="cpu")


def test_open_clip_needs_a_model_and_weights(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", types.ModuleType("open_clip"))
    with pytest.raises(UsageError, match="open_clip:MODEL/WEIGHTS"):
        load_image_scorer("open_clip:coca_ViT-B-32", device="cpu")


def test_open_clip_is_asked_for_its_validation_pixels_and_its_own_tokenizer(monkeypatch, pictures):
    """The adapter alone: a stand-in of open_clip's three functions."""

    class Model(torch.nn.Linear):
        def encode_image(self, pixels):
            return self(pixels)

        def encode_text(self, ids):
            return self(ids)

    def create(name, pretrained, device):
        assert (name, pretrained, str(device)) == ("coca", "tag/of/weights", "cpu")
        return Model(2, 3), "pixels of training", lambda image: torch.tensor([float(image.width), 1.0])

    module = types.ModuleType("open_clip")
    module.create_model_and_transforms = create
    module.get_tokenizer = lambda name: lambda texts: torch.tensor([[float(len(t)), 0.0] for t in texts])
    monkeypatch.setitem(sys.modules, "open_clip", module)
    scorer = load_image_scorer("open_clip:coca/tag/of/weights", device="cpu")
    assert [x.shape for x in scorer.images(pictures)] == [(1, 3)] * 3
    assert np.linalg.norm(scorer.texts(["a", "bc"])[1]) == pytest.approx(1, abs=1e-5)


TINY_COCA = {
    "embed_dim": 32,
    "multimodal_cfg": {"context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    "vision_cfg": {
        "image_size": 28, "patch_size": 14, "width": 32, "head_width": 16, "layers": 2, "output_tokens": True,
        "attentional_pool": True, "attn_pooler_queries": 5, "attn_pooler_heads": 2,
    },
    "text_cfg": {
        "context_length": 76, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2, "embed_cls": True,
        "output_tokens": True,
    },
    "custom_text": True,
}  # fmt: skip


@pytest.mark.parametrize("name", ["RN50", "tiny_coca"])
def test_open_clip_scores_like_open_clip(name, pictures, tmp_path):
    """Runs where open_clip and torchvision are installed."""
    open_clip = pytest.importorskip("open_clip")
    (tmp_path / "tiny_coca.json").write_text(json.dumps(TINY_COCA))
    open_clip.add_model_config(tmp_path / "tiny_coca.json")
    torch.manual_seed(0)
    model, _, pixels = open_clip.create_model_and_transforms(name, pretrained=None)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    scorer = load_image_scorer(f"open_clip:{name}/{tmp_path / 'weights.pt'}", device="cpu")
    model.eval()
    with torch.no_grad():
        images = model.encode_image(torch.stack([pixels(p) for p in pictures]), normalize=True)
        texts = model.encode_text(open_clip.get_tokenizer(name)(TEXTS), normalize=True)
    np.testing.assert_allclose(np.concatenate(scorer.images(pictures)), images, atol=1e-4)
    np.testing.assert_allclose(np.concatenate(scorer.texts(TEXTS)), texts, atol=1e-4)


# ---- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [-1, 1])
def test_bertscore_is_torchmetrics(text_folder, layer):
    from torchmetrics.functional.text.bert import bert_score
    from transformers import AutoTokenizer, BertModel

    model = BertModel.from_pretrained(text_folder, add_pooling_layer=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(text_folder)

    def states(model, batch):
        out = model(batch["input_ids"], batch["attention_mask"], output_hidden_states=True)
        return out.hidden_states[layer]

    said = ["black, small, running", "a dog, two", "cat"]
    written = [["a small black dog", "a dog runs"], ["two dogs"], ["a cat near a tree", "the cat", "a ball"]]
    scorer = load_text_scorer(text_folder, layer=layer, device="cpu")
    for words, captions in zip(said, written, strict=True):
        # one pair at a time: torchmetrics 1.9 sorts texts by length and does not undo that in their own order
        expected = [
            bert_score([words], [text], model=model, user_tokenizer=tokenizer, user_forward_fn=states, max_length=40)
            for text in captions
        ]
        found = scores.bert_score(scorer.texts([words]), scorer.texts(captions))
        for name in ("precision", "recall", "f1"):
            np.testing.assert_allclose(getattr(found, name)[0], [e[name].item() for e in expected], atol=1e-5)


def test_bertscore_is_its_authors_but_for_special_tokens(text_folder):
    """bert-score lets a token be matched to [CLS] and [SEP], though these have no weight; without them it is ours."""
    from bert_score.utils import greedy_cos_idf

    scorer = load_text_scorer(text_folder, device="cpu")
    candidates, references = (
        scorer.texts(["black, small", "two cats, red"]),
        scorer.texts(["a small black dog", "a red cat"]),
    )

    def padded(rows):
        tensors = [torch.from_numpy(row.copy()) for row in rows]
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones(len(t)) for t in tensors], batch_first=True)
        return torch.nn.utils.rnn.pad_sequence(tensors, batch_first=True) + 1e-9, mask

    x, x_mask = padded(references)
    y, y_mask = padded(candidates)
    p, r, f1 = greedy_cos_idf(x, x_mask, x_mask.clone(), y, y_mask, y_mask.clone())
    found = scores.bert_score(candidates, references)
    np.testing.assert_allclose(np.diag(found.precision), p, atol=1e-5)
    np.testing.assert_allclose(np.diag(found.recall), r, atol=1e-5)
    np.testing.assert_allclose(np.diag(found.f1), f1, atol=1e-5)


def test_tokens_are_those_between_the_special_ones_in_any_batch(text_folder):
    from transformers import AutoTokenizer

    scorer = load_text_scorer(text_folder, device="cpu")
    together = scorer.texts(TEXTS)
    tokenizer = AutoTokenizer.from_pretrained(text_folder)
    for text, tokens in zip(TEXTS, together, strict=True):
        assert len(tokens) == len(tokenizer.encode(text)) - 2
        np.testing.assert_allclose(scorer.texts([text])[0], tokens, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(tokens, axis=1), 1, atol=1e-5)


def test_an_encoder_of_another_family_needs_no_pooler(tokenizer, tmp_path):
    from tools.toyland import build
    from transformers import RobertaConfig, RobertaForMaskedLM

    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=3, num_attention_heads=2, intermediate_size=48,
        max_position_embeddings=30, pad_token_id=0,
    )  # fmt: skip
    folder = save(RobertaForMaskedLM(config), build.scorer_tokenizer(tokenizer), tmp_path)
    first, second = (load_text_scorer(folder, layer=2, device="cpu") for _ in range(2))
    assert first.fingerprint == second.fingerprint  # a pooler would be random
    assert first.layer == 2
    np.testing.assert_array_equal(first.texts(TEXTS)[0], second.texts(TEXTS)[0])
    assert load_text_scorer(folder, device="cpu").fingerprint != first.fingerprint  # another layer
    assert np.isfinite(first.texts(["dog " * 100])[0]).all()  # longer than its positions


def test_where_there_is_a_decoder_too_the_encoder_reads(tokenizer, tmp_path):
    from tools.toyland import build
    from transformers import T5Config, T5EncoderModel, T5Model

    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=48, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    reader = build.scorer_tokenizer(tokenizer)
    folder = save(T5Model(config), reader, tmp_path)
    batch = reader(TEXTS, padding=True, return_special_tokens_mask=True, return_tensors="pt")
    with torch.no_grad():
        out = T5EncoderModel.from_pretrained(folder).eval()(
            batch["input_ids"], batch["attention_mask"], output_hidden_states=True
        )
    for states, special, found in zip(
        out.hidden_states[1], batch["special_tokens_mask"], load_text_scorer(folder, layer=1).texts(TEXTS), strict=True
    ):
        np.testing.assert_allclose(found, torch.nn.functional.normalize(states[special == 0], dim=-1), atol=1e-5)


def test_embeddings_that_are_not_finite_are_an_error():
    broken = ImageTextScorer("x", "x", lambda b: torch.full((len(b), 2), torch.nan), lambda b: torch.ones(len(b), 2))
    with pytest.raises(ModelError, match="not finite"):
        broken.images([Image.new("RGB", (2, 2))])
    text = TextScorer("x", "x", 0, lambda b: [torch.full((3, 2), torch.inf) for _ in b])
    with pytest.raises(ModelError, match="not finite"):
        text.texts(["a"])


# ---- bundled ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bundled() -> None:
    from vitrail.toyland import clip_path, text_path

    if not all((p / "config.json").exists() for p in (clip_path(), text_path())):
        pytest.skip("the bundled scorers are not trained yet")


@pytest.mark.usefixtures("bundled")
def test_the_bundled_clip_tells_what_is_in_a_picture(samples):
    from vitrail.toyland.ground_truth import load_factors

    scorer = load_image_scorer("toyland", device="cpu")
    root = Path(samples[0].image).parent.parent
    factors = load_factors(root)
    places = ["grass", "beach", "snow", "street", "water", "forest", "room"]
    texts = np.concatenate(scorer.texts([scores.WORDS_PROMPT + place for place in places]))
    images = np.concatenate(scorer.images([s.open() for s in samples[:60]]))
    found = [places[i] for i in scores.clip_score(images, texts).argmax(axis=1)]
    assert np.mean([f == factors[s.id]["place"] for f, s in zip(found, samples[:60], strict=True)]) > 0.7


@pytest.mark.usefixtures("bundled")
def test_the_bundled_text_encoder_finds_a_paraphrase_nearer_than_another_caption():
    scorer = load_text_scorer("toyland", device="cpu")
    said, same, other = scorer.texts(
        ["a small black dog on the grass", "a tiny black puppy on the meadow", "three red buses at night"]
    )
    near, far = (scores.bert_score([said], [text]).f1.item() for text in (same, other))
    assert near > far
