"""Scorers that put images and texts in one space, for CLIPScore."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vitrail.errors import ModelError, UsageError
from vitrail.lmm.identity import fingerprint
from vitrail.lmm.placement import device_of
from vitrail.lmm.running import in_batches
from vitrail.lmm.scorers import reading
from vitrail.samples import Sample, frames_of

OPEN_CLIP = "open_clip:"


@dataclass(frozen=True)
class ImageTextScorer:
    """Images and texts in one space, for CLIPScore.

    Args:
        name: how it was loaded.
        fingerprint: a hash of everything that changes its embeddings: weights, pixels, text handling.
        encode_images: a batch of images → (n, d).
        encode_texts: a batch of texts → (n, d).
    """

    name: str
    fingerprint: str
    encode_images: Callable[[Sequence[Image.Image]], Tensor]
    encode_texts: Callable[[Sequence[str]], Tensor]

    def images(self, images: Sequence[Image.Image]) -> list[np.ndarray]:
        """For each image (1, d) float32 of unit length."""
        return in_batches(lambda batch: _units(self.encode_images(batch)), images, reading.BATCH)

    def images_of(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        """The same for the images of `samples`, which are opened batch by batch; the mean over several images of one.

        Raises:
            DataError: an image cannot be opened.
        """

        def encode(batch: Sequence[Sample]) -> list[np.ndarray]:
            frames = [frames_of(sample.open()) for sample in batch]
            vectors = _units(self.encode_images([image for of in frames for image in of]))
            return [_mean([vectors.pop(0) for _ in of]) for of in frames]

        return in_batches(encode, samples, reading.BATCH, pixels=Sample.pixels)

    def texts(self, texts: Sequence[str]) -> list[np.ndarray]:
        """For each text (1, d) float32 of unit length."""
        return in_batches(lambda batch: _units(self.encode_texts(batch)), texts, reading.BATCH)


def _mean(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of vectors (1, d) of unit length, of unit length."""
    total = np.sum(vectors, axis=0)
    return vectors[0] if len(vectors) == 1 else total / np.linalg.norm(total)


def _units(vectors: Tensor) -> list[np.ndarray]:
    """(n, d) → n times (1, d) float32 of unit length."""
    return list(reading.unit(vectors)[:, None])


def load_image_scorer(model: str | Path, *, revision: str | None = None, device: str | None = None) -> ImageTextScorer:
    """The scorer `model` for CLIPScore.

    Args:
        model: "toyland", a folder or name of a CLIP, SigLIP, FLAVA … of transformers, or "open_clip:MODEL/WEIGHTS",
            such as "open_clip:coca_ViT-B-32/laion2b_s13b_b90k".
        revision: of a model on the hub.
        device: where it runs; by default the accelerator if there is one.

    Raises:
        ModelError: it cannot be loaded, or has no common space of images and texts.
        UsageError: there is no such device, or MODEL or WEIGHTS is missing.
    """
    place = device_of(device)
    if str(model).startswith(OPEN_CLIP):
        return _open_clip(str(model), place)
    return _of_transformers(str(model), revision, place)


def _of_transformers(model: str, revision: str | None, place: torch.device) -> ImageTextScorer:
    """A CLIP, SigLIP, FLAVA or the like of transformers, or the bundled one."""
    from transformers import AutoModel, AutoProcessor

    path = reading.bundled("clip") if model == "toyland" else model
    network, processor = reading.loaded(AutoModel, AutoProcessor, path, model, revision)
    parts = ("get_image_features", "get_text_features")
    if not all(hasattr(network, p) for p in parts) or not hasattr(processor, "image_processor"):
        raise ModelError(
            f"{model} has no common space of images and texts: it is a {type(network).__name__}. "
            "CLIPScore needs a CLIP, a SigLIP, a FLAVA or the like."
        )
    network = network.to(place).eval().requires_grad_(False)
    read = reading.text_reader(network, processor.tokenizer, model)

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

    handling = [processor.image_processor.to_json_string(), reading.text_handling(processor.tokenizer)]
    return ImageTextScorer(model, reading.hashed(fingerprint(network), *handling), images, texts)


def _pooled(output: Any) -> Tensor:
    """(n, d): one vector each; the first token's where a model gives one per token (FLAVA)."""
    vectors = output if isinstance(output, Tensor) else output.pooler_output
    return vectors[:, 0] if vectors.ndim == 3 else vectors


def _open_clip(model: str, place: torch.device) -> ImageTextScorer:
    """A scorer of open_clip, by "open_clip:MODEL/WEIGHTS"."""
    try:
        import open_clip
    except ImportError as error:
        raise ModelError(f"{model} needs open_clip and torchvision: pip install 'vitrail[open-clip]'.") from error
    name, slash, weights = model.removeprefix(OPEN_CLIP).partition("/")
    if not slash or not name or not weights:
        raise UsageError(f"Expected open_clip:MODEL/WEIGHTS; got {model!r}. WEIGHTS is a tag or the path of a file.")
    try:
        network, _, pixels = open_clip.create_model_and_transforms(name, pretrained=weights, device=place)
        read = open_clip.get_tokenizer(name)
    except Exception as error:  # it has no error type of its own
        raise ModelError(f"{model} could not be loaded as a scorer: {error}") from error
    network.eval().requires_grad_(False)

    @torch.inference_mode()
    def images(batch: Sequence[Image.Image]) -> Tensor:
        return network.encode_image(torch.stack([pixels(image) for image in batch]).to(place))

    @torch.inference_mode()
    def texts(batch: Sequence[str]) -> Tensor:
        return network.encode_text(read(list(batch)).to(place))

    return ImageTextScorer(model, reading.hashed(fingerprint(network), repr(pixels), name), images, texts)
