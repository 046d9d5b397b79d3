"""Representations that come in pieces: slices of an array, shards on disk, or parts on many machines.

A function of one piece is *mapped* over all of them, and what it returns is put together in the order of the pieces, so
that the result depends neither on who computed a piece nor on when.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np

from vitrail.learners.arrays import Array, dtype_of

T = TypeVar("T")

_PIECE = 8192  # rows: large enough for fast products, small enough for the codes of a piece to stay in the cache
_SAMPLE = 2**25  # numbers in a sample: 128 MiB in float32


class Rows(Protocol):
    """Representations (n_samples, n_features), float32 or float64, in pieces that fit in memory."""

    @property
    def n_features(self) -> int:
        """The width of every piece."""

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64, that of every piece."""

    @property
    def lengths(self) -> Sequence[int]:
        """How many rows each piece has."""

    def __getitem__(self, index: int) -> Array:
        """Piece `index`, (lengths[index], n_features)."""


Map = Callable[[Callable[[int, Array], T], Rows], Iterator[T]]
"""Applies a function of number and piece to every piece; the results in the order of the pieces."""


class ArrayRows:
    """The rows of an array, which is not copied."""

    def __init__(self, Z: Array) -> None:
        self.Z = Z
        self.n_features: int = Z.shape[1]
        self.dtype = dtype_of(Z)
        self.size = _PIECE
        self.lengths = [min(self.size, len(Z) - start) for start in range(0, len(Z), self.size)]

    def __getitem__(self, index: int) -> Array:
        return self.Z[index * self.size : (index + 1) * self.size]


def here(function: Callable[[int, Array], T], rows: Rows) -> Iterator[T]:
    """Maps in this process, one piece after the other; the next one is fetched meanwhile."""
    n = len(rows.lengths)
    with ThreadPoolExecutor(1) as fetch:
        coming = fetch.submit(rows.__getitem__, 0)
        for i in range(n):
            piece = coming.result()
            if i + 1 < n:
                coming = fetch.submit(rows.__getitem__, i + 1)
            yield function(i, piece)


def sample(rows: Rows, rng: np.random.RandomState, over: Map) -> Array:
    """All rows when they are few, else as many as `_SAMPLE` holds, drawn without replacement, in their order."""
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
