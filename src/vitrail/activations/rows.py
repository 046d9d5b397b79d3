"""States of one layer straight from an activations folder, a piece at a time: for learning from more than memory holds.

A piece is read through the operating system's file cache and widened to float32; two at a time are in memory, the one
at work and the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vitrail.activations import Activations, read_states

ROWS = 8192


class ShardRows:
    """The states of `layer` as `learners.Rows`: float32 pieces of `rows` consecutive states, whatever the shards.

    States that are not in `kept` are passed over, and count for nothing. It holds paths and numbers alone, so it can
    travel to other processes that see the same folder.

    Raises:
        UsageError: the layer was not extracted.
        ArtifactError: a shard is damaged, or its tensors and rows disagree.
    """

    def __init__(
        self, activations: Activations, layer: int | str, kept: np.ndarray | None = None, rows: int = ROWS
    ) -> None:
        self.layer = activations.layer(layer)
        self.shards: list[tuple[Path, int, int]] = activations.shards(layer)
        self.ends = np.cumsum([stop - start for _, start, stop in self.shards])
        self.kept = np.arange(self.ends[-1]) if kept is None else np.flatnonzero(kept)
        self.rows = rows
        self.n_features: int = activations.width(layer)
        self.dtype = np.dtype(np.float32)

    @property
    def lengths(self) -> Sequence[int]:
        return [min(self.rows, len(self.kept) - start) for start in range(0, len(self.kept), self.rows)]

    def __getitem__(self, index: int) -> np.ndarray:
        wanted = self.kept[index * self.rows : (index + 1) * self.rows]
        piece = np.empty((len(wanted), self.n_features), dtype=np.float32)
        touched = np.searchsorted(self.ends, [wanted[0], wanted[-1]], side="right")
        for number in range(touched[0], touched[1] + 1):
            path, at, stop = self.shards[number]  # its rows `at` to `stop` are states `start` and following
            start = self.ends[number] - (stop - at)
            first, last = np.searchsorted(wanted, [start, self.ends[number]])
            if first < last:
                low, high = int(wanted[first] - start), int(wanted[last - 1] - start) + 1
                states = read_states(path, self.layer, at + low, at + high)
                whole = len(states) == last - first
                piece[first:last] = states if whole else states[wanted[first:last] - start - low]
        return piece
