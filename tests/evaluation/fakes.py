"""Scorers that take no time, and samples to score."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vitrail.evaluation import (
    Scorers,
)
from vitrail.evaluation.embeddings import Embeddings
from vitrail.lmm.scorers import ImageTextScorer, TextScorer
from vitrail.samples import Sample


def vector(text: str, d: int = 16) -> np.ndarray:
    """A direction of its own for every text."""
    return np.random.default_rng(zlib.crc32(text.encode())).normal(size=d)


class Counting:
    """Scorers that take no time, and count what they encode: an image is its mean colour, a text its words' sum."""

    def __init__(self, name: str = "fake") -> None:
        self.images: list[int] = []
        self.texts: list[str] = []
        self.tokens: list[str] = []

        def pixels(images) -> torch.Tensor:
            self.images.append(len(images))
            means = [
                np.asarray(i, float).mean(axis=(0, 1)) @ np.random.default_rng(0).normal(size=(3, 16)) for i in images
            ]
            return torch.tensor(np.array(means))

        def words(texts) -> torch.Tensor:
            self.texts += texts
            return torch.tensor(np.array([sum(vector(w) for w in re.findall(r"\w+", t)) for t in texts]))

        def tokens(texts) -> list[torch.Tensor]:
            self.tokens += texts
            return [torch.tensor(np.array([vector(w) for w in re.findall(r"\w+", t)])) for t in texts]

        self.image = ImageTextScorer(name, name, pixels, words)
        self.text = TextScorer(name, name, 0, tokens)

    @property
    def scorers(self) -> Scorers:
        return Scorers(self.image, self.text)

    def embeddings(self, folder: Path) -> Embeddings:
        return Embeddings(folder, self.scorers)


def photo(i: int, captions: tuple[str, ...] = ()) -> Sample:
    return Sample(str(i), Image.new("RGB", (4, 4), (7 * i % 256, 13 * i % 256, 29 * i % 256)), captions)
