"""Representations in pieces: slices of an array, shards on disk, or parts on many machines.

A function of one piece is mapped over all pieces, and its results are combined in the order of the pieces. So the
outcome depends neither on which process computed a piece nor on when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float

from vitrail.learners.arrays import Array, dtype_of

T = TypeVar("T")

_PIECE = 8192  # rows: large enough for fast products, small enough for the codes of a piece to stay in the cache
_SAMPLE = 2**25  # numbers in a sample: 128 MiB in float32


@runtime_checkable
class Rows(Protocol):
    """Representations (n_samples, n_features), float32 or float64, in pieces that each fit in memory."""

    @property
    def n_features(self) -> int:
        """The number of features, d."""

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""

    @property
    def lengths(self) -> Sequence[int]:
        """The number of rows of each piece."""

    def __getitem__(self, index: int) -> Float[Array, "n d"]:
        """The piece with this index."""


Map = Callable[[Callable[[int, Array], T], Rows], Iterator[T]]
"""Applies a function of (index, piece) to every piece; yields the results in the order of the pieces."""


class ArrayRows:
    """The rows of an array, in pieces of 8192; nothing is copied."""

    def __init__(self, Z: Float[Array, "n d"]) -> None:
        self.Z = Z
        self.n_features: int = Z.shape[1]
        self.dtype = dtype_of(Z)
        self.size = _PIECE
        self.lengths = [min(self.size, len(Z) - start) for start in range(0, len(Z), self.size)]

    def __getitem__(self, index: int) -> Float[Array, "n d"]:
        return self.Z[index * self.size : (index + 1) * self.size]


def here(function: Callable[[int, Array], T], rows: Rows) -> Iterator[T]:
    """The `Map` of this process: one piece after another, while the next one is being fetched."""
    n = len(rows.lengths)
    with ThreadPoolExecutor(1) as fetch:
        coming = fetch.submit(rows.__getitem__, 0)
        for i in range(n):
            piece = coming.result()
            if i + 1 < n:
                coming = fetch.submit(rows.__getitem__, i + 1)
            yield function(i, piece)


def sample(rows: Rows, rng: np.random.RandomState, over: Map) -> Float[Array, "n d"]:
    """All rows if they hold at most 2²⁵ numbers; otherwise a random sample of that size, in the order of the rows."""
    n, most = sum(rows.lengths), max(1, _SAMPLE // rows.n_features)
    if n <= most and isinstance(rows, ArrayRows):
        return rows.Z
    chosen = np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))
    if isinstance(rows, ArrayRows):
        return rows.Z[chosen]
    ends = np.cumsum(rows.lengths)

    def take(index: int, Z: Array) -> Array:
        first, last = np.searchsorted(chosen, [ends[index] - len(Z), ends[index]])
        return Z[chosen[first:last] - (ends[index] - len(Z))]

    return np.concatenate(list(over(take, rows)))
