"""States that tests make themselves, in memory and in an activations folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vitrail.activations import Activations, Counts, Row, Store
from vitrail.lmm import ModelDescription

#: What a manifest says of a model of four blocks that is not there.
MODEL = ModelDescription("m", None, None, "Toy", "float32", 4, 24, {}, "f" * 32).as_dict()


def row_of(sample_id: str) -> Row:
    """A row of a caption "a dog"."""
    return Row(sample_id, "x.jpg", ("a dog",), "?", "a dog", "dog", 2, 5, (1, 2), 1, 9, b"")


def representations(n: int = 700, d: int = 24, seed: int = 0) -> np.ndarray:
    """Sparse sums of six directions, and noise, in numbers that float16 holds exactly."""
    rng = np.random.default_rng(seed)
    codes = rng.gamma(3, 2, (n, 6)) * (rng.random((n, 6)) < 0.4)
    Z = codes @ rng.standard_normal((6, d)) + 0.3 * rng.standard_normal((n, d))
    return Z.astype(np.float16).astype(np.float32)


def stored(folder: Path, Z: np.ndarray, lengths: tuple[int, ...], dtype: torch.dtype = torch.float16) -> Activations:
    """Activations in shards of these lengths; sample ids are s0, s1, …"""
    parameters = {
        "model": MODEL,
        "word": {"text": "dog", "forms": [], "match_case": False},
        "layers": [4],
    }
    store = Store(folder, parameters, len(lengths))
    start = 0
    for number, length in enumerate(lengths):
        rows = [row_of(f"s{i}") for i in range(start, start + length)]
        states = {4: torch.tensor(Z[start : start + length]).to(dtype)}
        store.write(number, states, rows, Counts(length, length))
        start += length
    return store.finish()
