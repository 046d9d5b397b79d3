"""The states of one layer as a data set of torch: for training on them, or for whatever else takes a `DataLoader`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info


class StateStream(IterableDataset[tuple[Tensor, str]]):
    """(state (n_features,) float32, sample id) for each state, in their order; one shard at a time is in memory.

    The workers of a `DataLoader` take shards in turn, so with several of them the order is another one.

    Args:
        shards: of the layer; see `Activations.shards`.
        read: the states of a shard from `start` to `stop`, (stop − start, n_features) float32.
        sample_ids: of all states, in order.
    """

    def __init__(
        self,
        shards: list[tuple[Path, int, int]],
        read: Callable[[Path, int, int], np.ndarray],
        sample_ids: list[str],
    ) -> None:
        self.shards, self.read, self.sample_ids = shards, read, sample_ids

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __iter__(self) -> Iterator[tuple[Tensor, str]]:
        worker = get_worker_info()
        first, every = (0, 1) if worker is None else (worker.id, worker.num_workers)
        before = 0
        for number, (path, start, stop) in enumerate(self.shards):
            if number % every == first:
                states = torch.from_numpy(self.read(path, start, stop))
                yield from zip(states, self.sample_ids[before : before + stop - start], strict=True)
            before += stop - start
