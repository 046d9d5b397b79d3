"""Embeddings of images and texts, each computed once and kept in a folder.

    FOLDER/<scorer>-<what>/part-00000.safetensors, part-00000.json, …

A part holds vectors (sum of `lengths`, d) and, in the same order, the key and the length of every item. The name of
the folder has the fingerprint of the scorer, so that another scorer, or the same with other weights, never reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors.numpy import save_file

from vitrail.artifacts import check_covered, read_json, read_tensors, write_covering, write_whole
from vitrail.errors import ArtifactError
from vitrail.evaluation.inputs import Scorers
from vitrail.progress import Progress, silent
from vitrail.samples import Sample

#: Items per part. A run that is killed loses at most one part.
BLOCK = 512


@dataclass(frozen=True)
class _Index:
    """What a part of the cache holds: the items' keys and how many rows each has; and the hash of its vectors."""

    keys: tuple[str, ...]
    lengths: tuple[int, ...]
    files: dict[str, str]


class Cache:
    """Vectors of items by key, (length, d) float32 each, in memory and in `folder`.

    Args:
        folder: read at once, written part by part; made when the first part is written.

    Raises:
        ArtifactError: a part is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.found: dict[str, Float[np.ndarray, "length d"]] = {}
        self.parts = sorted(folder.glob("part-*.json"))
        for path in self.parts:
            self._read(path)

    def _read(self, path: Path) -> None:
        index = read_json(path, _Index, "evaluate")
        check_covered(path.with_suffix(".safetensors"), "evaluate")
        vectors = read_tensors(path.with_suffix(".safetensors"), ("vectors",), "evaluate")["vectors"]
        if len(index.keys) != len(index.lengths) or sum(index.lengths) != len(vectors):
            raise ArtifactError(
                f"{path} is damaged (it and its vectors disagree). Remove {self.folder} and evaluate again."
            )
        ends = np.cumsum(index.lengths)[:-1]
        self.found |= dict(zip(index.keys, np.split(vectors, ends), strict=True))

    def get(
        self,
        keys: Sequence[str],
        items: Sequence[Any],
        encode: Callable[[Sequence[Any]], list[np.ndarray]],
        progress: Callable[[int, int], None],
    ) -> list[np.ndarray]:
        """The vectors of `items`, in their order.

        Args:
            keys: one for each item; items with equal keys have equal vectors.
            encode: items → their vectors, for the items whose key is not in the cache yet.
            progress: told the number of items encoded, and of how many.
        """
        missing = {k: item for k, item in zip(keys, items, strict=True) if k not in self.found}
        names = list(missing)
        for start in range(0, len(names), BLOCK):
            some = names[start : start + BLOCK]
            made = encode([missing[k] for k in some])
            self._write(some, made)
            self.found |= dict(zip(some, made, strict=True))
            progress(min(start + BLOCK, len(names)), len(names))
        return [self.found[k] for k in keys]

    def _write(self, keys: list[str], made: list[np.ndarray]) -> None:
        path = self.folder / f"part-{len(self.parts):05d}.json"
        vectors = np.ascontiguousarray(np.concatenate(made), dtype=np.float32)
        write_whole(path.with_suffix(".safetensors"), lambda partial: save_file({"vectors": vectors}, partial))
        write_covering(path, {"keys": keys, "lengths": [len(m) for m in made]})
        self.parts.append(path)


class Embeddings:
    """Embeddings by the two scorers, cached in `folder`.

    Raises:
        ArtifactError: a part of the cache is damaged.
    """

    def __init__(self, folder: Path, scorers: Scorers, progress: Progress = silent) -> None:
        image, text = scorers.image, scorers.text
        self.image, self.text, self.progress = image, text, progress
        self._pixels = Cache(folder / f"{image.fingerprint}-images")
        self._texts = Cache(folder / f"{image.fingerprint}-texts")
        self._tokens = Cache(folder / f"{text.fingerprint}-tokens")

    def images(self, samples: Sequence[Sample]) -> Float[np.ndarray, "n d"]:
        """The images of `samples` in the space of the image scorer, float32 of unit length."""
        keys = [sample.image_digest() for sample in samples]
        return _stacked(
            self._pixels.get(keys, samples, self.image.images_of, lambda n, of: self.progress("images", n, of))
        )

    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Texts in the space of the image scorer, float32 of unit length."""
        found = self._texts.get(texts, texts, self.image.texts, lambda n, of: self.progress("texts", n, of))
        return _stacked(found)

    def tokens(self, texts: Sequence[str]) -> list[Float[np.ndarray, "n_tokens d"]]:
        """The tokens of each text by the text scorer, float32 of unit length."""
        return self._tokens.get(texts, texts, self.text.texts, lambda n, of: self.progress("tokens", n, of))


def _stacked(rows: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(rows) if rows else np.zeros((0, 1), np.float32)
