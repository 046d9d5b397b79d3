"""Many inputs through a model: in batches of similar shape, which are halved when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch

from vitrail.samples.bounds import batches

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")


def in_batches(
    run: Callable[[Sequence[A]], list[B]],
    items: Sequence[A],
    size: int,
    *,
    shape: Callable[[A], Any] = lambda item: 0,
    pixels: Callable[[A], int] = lambda item: 0,
    step: Callable[[int], None] = lambda n: None,
) -> list[B]:
    """The results of `run` for `items`, in their order.

    Args:
        run: takes a batch and gives one result for each of its items.
        items: what is put into batches of similar `shape`, to reduce padding.
        size: items per batch; a batch is halved when memory runs out.
        shape: of an item; items are sorted by it.
        pixels: of an item's image; a batch of large images has fewer items, see `samples.bounds.batches`.
        step: called after each batch with the number of items that are done.
    """
    order = sorted(range(len(items)), key=lambda i: shape(items[i]))
    found: dict[int, B] = {}
    for places in batches([pixels(items[i]) for i in order], size):
        chosen = [order[place] for place in places]
        found |= dict(zip(chosen, halving(run, [items[i] for i in chosen]), strict=True))
        step(len(found))
    return [found[i] for i in range(len(items))]


def halving(run: Callable[[Sequence[A]], list[B]], batch: Sequence[A]) -> list[B]:
    """`run(batch)`; when memory runs out, its two halves one after the other, down to a single item."""
    try:
        return run(batch)
    except torch.OutOfMemoryError:
        if len(batch) == 1:
            raise
        log.warning("out of memory at batch size %d: halved", len(batch))
    middle = len(batch) // 2
    return halving(run, batch[:middle]) + halving(run, batch[middle:])
