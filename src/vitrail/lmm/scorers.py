"""Scorers: what turns images and texts into embeddings for CLIPScore, and texts into token embeddings for BERTScore.

Any CLIP, SigLIP, FLAVA or the like of transformers by name or folder, CoCa and the rest through
`open_clip:MODEL/WEIGHTS`, any text encoder of transformers; and "toyland", the two that are bundled. A text goes to the
model as its own tokenizer makes it (Toyland's makes it lower case and puts a space before its marks), and is cut at the
model's own length, which is said.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vitrail.errors import ModelError, UsageError
from vitrail.lmm import fingerprint

log = logging.getLogger(__name__)

BATCH = 64
_OPEN_CLIP = "open_clip:"


@dataclass(frozen=True)
class ImageTextScorer:
    """Images and texts in one space, for CLIPScore. `fingerprint` stands for weights, pixels and text handling."""

    name: str
    fingerprint: str
    encode_images: Callable[[Sequence[Image.Image]], Tensor]
    encode_texts: Callable[[Sequence[str]], Tensor]

    def images(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """For each image (1, d) float32 of unit length."""
        return _in_batches(self.encode_images, images)

    def texts(self, texts: Sequence[str]) -> list[np.ndarray]:
        """For each text (1, d) float32 of unit length."""
        return _in_batches(self.encode_texts, texts)


@dataclass(frozen=True)
class TextScorer:
    """Tokens of texts in context, for BERTScore. `layer` is the layer that they are taken from."""

    name: str
    fingerprint: str
    layer: int
    encode: Callable[[Sequence[str]], list[Tensor]]

    def texts(self, texts: Sequence[str]) -> list[np.ndarray]:
        """For each text (n_tokens, d) float32 of unit length, special tokens left out."""
        found: list[np.ndarray] = []
        for start in range(0, len(texts), BATCH):
            found += [_unit(tokens) for tokens in self.encode(texts[start : start + BATCH])]
        return found


def _in_batches(encode: Callable[[Sequence[Any]], Tensor], items: Sequence[Any]) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for start in range(0, len(items), BATCH):
        found += list(_unit(encode(items[start : start + BATCH]))[:, None])
    return found


def _unit(vectors: Tensor) -> np.ndarray:
    vectors = vectors.detach().float()
    if not torch.isfinite(vectors).all():
        raise ModelError("A scorer gave embeddings that are not finite. Load another one.")
    return torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()


# ---- images and texts ------------------------------------------------------------------------------------------------


def load_image_scorer(model: str | Path, *, revision: str | None = None, device: str | None = None) -> ImageTextScorer:
    """The scorer `model` for CLIPScore.

    Args:
        model: "toyland", a folder or name of a CLIP, SigLIP, FLAVA … of transformers, or "open_clip:MODEL/WEIGHTS",
            such as "open_clip:coca_ViT-B-32/laion2b_s13b_b90k".

    Raises:
        ModelError: it cannot be loaded, or puts images and texts in no common space.
    """
    place = _device(device)
    if str(model).startswith(_OPEN_CLIP):
        return _open_clip(str(model), place)
    from transformers import AutoModel, AutoProcessor

    path = _bundled("clip") if str(model) == "toyland" else str(model)
    network, processor = _load(AutoModel, AutoProcessor, path, str(model), revision)
    parts = ("get_image_features", "get_text_features")
    if not all(hasattr(network, p) for p in parts) or not hasattr(processor, "image_processor"):
        raise ModelError(
            f"{model} puts images and texts in no common space: it is a {type(network).__name__}. "
            "CLIPScore needs a CLIP, a SigLIP, a FLAVA or the like."
        )
    network = network.to(place).eval().requires_grad_(False)
    read = _reader(network, processor.tokenizer, str(model))

    @torch.inference_mode()
    def images(batch: Sequence[Image.Image]) -> Tensor:
        inputs = processor.image_processor(list(batch), return_tensors="pt")  # SigLIP 2 has masks beside the pixels
        inputs = {k: v.to(place, network.dtype if v.is_floating_point() else None) for k, v in inputs.items()}
        return _pooled(network.get_image_features(**inputs))

    @torch.inference_mode()
    def texts(batch: Sequence[str]) -> Tensor:
        inputs = read(batch)
        inputs.pop("special_tokens_mask")
        return _pooled(network.get_text_features(**inputs))

    handling = [processor.image_processor.to_json_string(), _text_handling(processor.tokenizer)]
    return ImageTextScorer(str(model), _hash(fingerprint(network), *handling), images, texts)


def _pooled(output: Any) -> Tensor:
    """(n, d): one vector each; the first token's where a model gives one per token (FLAVA)."""
    vectors = output if isinstance(output, Tensor) else output.pooler_output
    return vectors[:, 0] if vectors.ndim == 3 else vectors


def _open_clip(model: str, place: torch.device) -> ImageTextScorer:
    try:
        import open_clip
    except ImportError as error:
        raise ModelError(f"{model} needs open_clip and torchvision: pip install 'vitrail[open-clip]'.") from error
    name, slash, weights = model.removeprefix(_OPEN_CLIP).partition("/")
    if not slash or not name or not weights:
        raise UsageError(f"Expected open_clip:MODEL/WEIGHTS; got {model!r}. WEIGHTS is a tag or the path of a file.")
    try:
        network, _, pixels = open_clip.create_model_and_transforms(name, pretrained=weights, device=place)
        read = open_clip.get_tokenizer(name)
    except Exception as error:  # it raises whatever it stumbles over
        raise ModelError(f"{model} could not be loaded as a scorer: {error}") from error
    network.eval().requires_grad_(False)

    @torch.inference_mode()
    def images(batch: Sequence[Image.Image]) -> Tensor:
        return network.encode_image(torch.stack([pixels(image) for image in batch]).to(place))

    @torch.inference_mode()
    def texts(batch: Sequence[str]) -> Tensor:
        return network.encode_text(read(list(batch)).to(place))

    return ImageTextScorer(model, _hash(fingerprint(network), repr(pixels), name), images, texts)


# ---- texts -----------------------------------------------------------------------------------------------------------


def load_text_scorer(
    model: str | Path, *, layer: int = -1, revision: str | None = None, device: str | None = None
) -> TextScorer:
    """The text encoder `model` for BERTScore.

    Args:
        model: "toyland", or a folder or name of an encoder of transformers, such as "roberta-large".
        layer: whose states are compared, 0 (embeddings) to N, or −1 for the last; BERTScore's authors recommend 17
            for roberta-large and 9 for bert-base-uncased.

    Raises:
        ModelError: it cannot be loaded.
        UsageError: no such layer.
    """
    from transformers import AutoModel, AutoTokenizer

    place = _device(device)
    path = _bundled("text") if str(model) == "toyland" else str(model)
    network, tokenizer = _load(AutoModel, AutoTokenizer, path, str(model), revision)
    if getattr(network.config, "is_encoder_decoder", False):
        network = network.get_encoder()
    if getattr(network, "pooler", None) is not None:
        network.pooler = None  # not needed, and in some checkpoints absent: it would be random
    network = network.to(place).eval().requires_grad_(False)
    n = network.config.num_hidden_layers
    if not -1 <= layer <= n:
        raise UsageError(f"{model} has layers 0 to {n}, or −1 for the last; got {layer}.")
    layer = n if layer == -1 else layer
    read = _reader(network, tokenizer, str(model))

    @torch.inference_mode()
    def encode(batch: Sequence[str]) -> list[Tensor]:
        inputs = read(batch)
        special = inputs.pop("special_tokens_mask").bool()
        states = network(**inputs, output_hidden_states=True).hidden_states[layer]
        return [row[~left_out] for row, left_out in zip(states, special, strict=True)]

    found = _hash(fingerprint(network), _text_handling(tokenizer), str(layer))
    return TextScorer(str(model), found, layer, encode)


# ---- both ------------------------------------------------------------------------------------------------------------


def _load(network: Any, reader: Any, path: str, model: str, revision: str | None) -> tuple[Any, Any]:
    """The model and what reads for it; every weight but a pooler's must be in the checkpoint."""
    try:
        loaded, info = network.from_pretrained(path, revision=revision, output_loading_info=True)
        made = reader.from_pretrained(path, revision=revision)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"{model} could not be loaded as a scorer: {str(error).strip().splitlines()[0]}") from error
    missing = [key for key in info["missing_keys"] if "pooler" not in key]
    if missing:
        raise ModelError(
            f"{model} lacks {len(missing)} weights of a {type(loaded).__name__}, {missing[0]} among them: "
            "they would be random, and so would its scores."
        )
    return loaded, made


def _reader(network: Any, tokenizer: Any, model: str) -> Callable[[Sequence[str]], dict[str, Tensor]]:
    """Texts → the inputs of `network`, cut to its length, with a mask of special tokens."""
    config = getattr(network.config, "text_config", network.config)
    longest = min(getattr(config, "max_position_embeddings", 512), tokenizer.model_max_length)
    if getattr(config, "model_type", "").startswith("roberta"):
        longest = min(longest, config.max_position_embeddings - config.pad_token_id - 1)  # positions begin after it
    # SigLIP was trained on texts padded to their full length, and reads its last position
    padding = "max_length" if network.config.model_type.startswith("siglip") else True
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token

    def read(texts: Sequence[str]) -> dict[str, Tensor]:
        too_long = sum(len(ids) > longest for ids in tokenizer(list(texts), verbose=False)["input_ids"])
        if too_long:
            log.warning("%d of %d texts are longer than the %d tokens of %s: cut", too_long, len(texts), longest, model)
        batch = tokenizer(
            list(texts),
            padding=padding,
            truncation=True,
            max_length=longest,
            return_special_tokens_mask=True,
            return_tensors="pt",
        )
        known = {*tokenizer.model_input_names, "special_tokens_mask"}
        return {k: v.to(network.device) for k, v in batch.items() if k in known}

    return read


def _text_handling(tokenizer: Any) -> str:
    """What decides how a text becomes tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return json.dumps(sorted(tokenizer.get_vocab().items())) if backend is None else backend.to_str()


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _device(device: str | None) -> torch.device:
    return torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _bundled(which: str) -> str:
    from vitrail import toyland

    path = toyland.clip_path() if which == "clip" else toyland.text_path()
    if not (path / "config.json").is_file():
        raise ModelError(f"The bundled scorer is missing: there is no {path}. Name another scorer.")
    return str(path)
