"""Representations in pieces: slices of an array, shards on disk, or parts on many machines.

A function of one piece is mapped over all pieces, and its results are combined in the order of the pieces. So the
outcome depends neither on which process computed a piece nor on when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float, Int

from vitrail.learners.arrays import Array, beside, dtype_of, namespace, squares_of, to_host

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


@dataclass(frozen=True)
class ChangedRows:
    """`rows` after `change`, a function of states row by row, which is applied to each piece when it is read."""

    rows: Rows
    change: Callable[[Array], Array]

    @property
    def n_features(self) -> int:
        return self.rows.n_features

    @property
    def dtype(self) -> np.dtype:
        return self.rows.dtype

    @property
    def lengths(self) -> Sequence[int]:
        return self.rows.lengths

    def __getitem__(self, index: int) -> Float[Array, "n d"]:
        return self.change(self.rows[index])


@dataclass(frozen=True)
class JoinedRows:
    """Several rows of the same width, those of one after those of the other."""

    parts: tuple[Rows, ...]

    @property
    def n_features(self) -> int:
        return self.parts[0].n_features

    @property
    def dtype(self) -> np.dtype:
        return self.parts[0].dtype

    @property
    def lengths(self) -> Sequence[int]:
        return [length for part in self.parts for length in part.lengths]

    def __getitem__(self, index: int) -> Float[Array, "n d"]:
        for part in self.parts:
            if index < len(part.lengths):
                return part[index]
            index -= len(part.lengths)
        raise IndexError(index)


def minus(Z: Float[Array, "n d"], mean: Float[np.ndarray, " d"]) -> Float[Array, "n d"]:
    """`Z − 1 meanᵀ`, in the precision of `Z` and where `Z` is."""
    return Z - beside(mean, Z, Z.dtype)


def mean_and_spread(rows: Rows, over: Map) -> tuple[Float[np.ndarray, " d"], float]:
    """The mean `μ` of all rows in float64, and their spread `σ = √(1/n Σ ‖z − μ‖²)`; one pass.

    Sums are of differences from the first row, so that little is lost where rows are mostly their mean.
    """
    first = to_host(rows[0][0])[0]

    def piece(_: int, Z: Array) -> tuple[np.ndarray, float]:
        D, xp = minus(Z, first), namespace(Z)
        return to_host(xp.sum(D, axis=0, dtype=xp.float64))[0], squares_of(D)

    sums, squares = zip(*over(piece, rows), strict=True)
    n = sum(rows.lengths)
    shift = np.sum(sums, axis=0) / n
    return first + shift, float(np.sqrt(max(0.0, sum(squares) / n - float(shift @ shift))))


def count_different(rows: Rows, most: int) -> int:
    """How many of the rows differ from each other, counted up to `most`; no more are read than that takes."""
    seen: set[bytes] = set()
    for i in range(len(rows.lengths)):
        for row in to_host(rows[i])[0]:
            seen.add((row + 0.0).tobytes())  # −0 is 0
            if len(seen) == most:
                return most
    return len(seen)


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


def sampled(rows: Rows, rng: np.random.RandomState, most: int | None = None) -> Int[np.ndarray, " some"]:
    """The numbers of the rows that `sample` takes, in their order."""
    n, fitting = sum(rows.lengths), max(1, _SAMPLE // rows.n_features)
    most = fitting if most is None else min(most, fitting)
    return np.arange(n) if n <= most else np.sort(rng.choice(n, most, replace=False))


def sample(rows: Rows, rng: np.random.RandomState, over: Map, most: int | None = None) -> Float[Array, "n d"]:
    """All rows if they hold at most 2²⁵ numbers and are at most `most`; otherwise a random sample of that size, in the
    order of the rows."""
    if isinstance(rows, ChangedRows):
        return rows.change(sample(rows.rows, rng, over, most))
    n = sum(rows.lengths)
    chosen = sampled(rows, rng, most)
    if isinstance(rows, ArrayRows):
        return rows.Z if len(chosen) == n else rows.Z[chosen]
    ends = np.cumsum(rows.lengths)

    def take(index: int, Z: Array) -> Array:
        first, last = np.searchsorted(chosen, [ends[index] - len(Z), ends[index]])
        return Z[chosen[first:last] - (ends[index] - len(Z))]

    return np.concatenate(list(over(take, rows)))
