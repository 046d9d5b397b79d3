"""Many inputs through a model: in batches of similar shape, loaded by threads while the model works on those before
them, and halved when memory runs out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from vitrail.errors import ModelError
from vitrail.samples import bounds

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")
L = TypeVar("L")

#: Batches that are loaded, or being loaded, beside the one that the model works on. Their images have at most twice as
#: many pixels together as those of one batch may have.
AHEAD = 2


class ApartError(ModelError):
    """Images that a model takes, and not in one batch."""


@dataclass
class BatchSize:
    """How many items a batch has at most: fewer once memory ran out."""

    most: int

    def __call__(self) -> int:
        return self.most


@dataclass(frozen=True)
class Group(Generic[A, L]):
    """Items that are put into batches together.

    Args:
        items: in any order.
        load: makes of a batch what the model is given; called in a thread of its own.
        step: called after each batch with the number of items that are done.
    """

    items: Sequence[A]
    load: Callable[[Sequence[A]], L]
    step: Callable[[int], None] = lambda n: None


@dataclass(frozen=True)
class Batches(Generic[A, L, B]):
    """How items become batches, and what is done with them.

    Args:
        run: takes what was loaded of a batch, and gives one result for each of its items.
        size: items per batch; smaller for all that follow once memory ran out.
        shape: of an item; items of a group are sorted by it, to reduce padding.
        pixels: of an item's image; a batch of large images has fewer items, see `samples.bounds.batches`.
        ahead: how many batches are loaded beside the one that is run; 0 loads each when its turn comes.
    """

    run: Callable[[L], list[B]]
    size: BatchSize
    shape: Callable[[A], Any] = lambda item: 0
    pixels: Callable[[A], int] = lambda item: 0
    ahead: int = 0

    def through(self, groups: Iterable[Group[A, L]]) -> Generator[list[B]]:
        """The results for the items of each group, in their order; they depend neither on threads nor on time.

        The next batches are loaded while one is run, those of the next group, too: at most `ahead` of them, see
        `AHEAD`. What `load` raises is raised when the batch has its turn. When memory runs out, or the items cannot go
        through together, a batch is loaded and run in halves, down to a single item.
        """
        feed = _Feed(self, groups)
        try:
            while (group := feed.next_group()) is not None:
                found: dict[int, B] = {}
                while len(found) < len(group.items):
                    places, ready = feed.next_batch()
                    found |= dict(zip(places, self._results(group, places, ready), strict=True))
                    group.step(len(found))
                yield [found[i] for i in range(len(found))]
        finally:
            feed.close()

    def _results(self, group: Group[A, L], places: Sequence[int], ready: list[Future[L]]) -> list[B]:
        """The results of one batch; `ready` holds what was loaded of it, and is emptied, so that nothing keeps it."""

        def once(some: Sequence[int]) -> list[B]:
            return self.run(ready.pop().result() if ready else group.load([group.items[i] for i in some]))

        return halving(once, places, self.size)


class _Feed(Generic[A, L]):
    """The batches of many groups, one after the other, with those loaded that come next."""

    def __init__(self, how: Batches[A, L, Any], groups: Iterable[Group[A, L]]) -> None:
        self.how = how
        self._groups: deque[Group[A, L]] = deque()
        self._batches = self._cut(groups)
        self._next: tuple[Group[A, L], list[int], int] | None = next(self._batches, None)
        self._loading: deque[tuple[list[int], int, list[Future[L]]]] = deque()
        self._pool = ThreadPoolExecutor(how.ahead, "vitrail-load") if how.ahead else None

    def _cut(self, groups: Iterable[Group[A, L]]) -> Iterator[tuple[Group[A, L], list[int], int]]:
        """(group, places of its items, their pixels) for each batch."""
        for group in groups:
            self._groups.append(group)
            order = sorted(range(len(group.items)), key=lambda i: self.how.shape(group.items[i]))
            pixels = [self.how.pixels(group.items[i]) for i in order]
            for part in bounds.batches(pixels, self.how.size):
                yield group, [order[i] for i in part], sum(pixels[i] for i in part)

    def _fill(self, most: int) -> None:
        """Begins to load batches until `most` are loaded, or their images are as many as may be open."""
        while self._next is not None and len(self._loading) < most:
            group, places, pixels = self._next
            if self._loading and sum(p for _, p, _ in self._loading) + pixels > AHEAD * bounds.PIXELS:
                return
            items = [group.items[i] for i in places]
            ready = [self._pool.submit(group.load, items)] if self._pool else []
            self._loading.append((places, pixels, ready))
            self._next = next(self._batches, None)

    def next_group(self) -> Group[A, L] | None:
        """The next group; None after the last one."""
        return self._groups.popleft() if self._groups else None

    def next_batch(self) -> tuple[list[int], list[Future[L]]]:
        """The places of the next batch's items, and what is loaded of it, if that is loaded ahead."""
        self._fill(1)
        places, _, ready = self._loading.popleft()
        self._fill(self.how.ahead)
        return places, ready

    def close(self) -> None:
        """Lets what is being loaded end, and begins nothing more."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)


def in_batches(
    run: Callable[[Sequence[A]], list[B]],
    items: Sequence[A],
    size: int,
    *,
    shape: Callable[[A], Any] = lambda item: 0,
    pixels: Callable[[A], int] = lambda item: 0,
    step: Callable[[int], None] = lambda n: None,
) -> list[B]:
    """The results of `run`, which takes a batch of `items`, in the order of the items; see `Batches`."""
    [found] = Batches(run, BatchSize(size), shape, pixels).through([Group(items, lambda batch: batch, step)])
    return found


def halving(run: Callable[[Sequence[A]], list[B]], batch: Sequence[A], size: BatchSize | None = None) -> list[B]:
    """`run(batch)`; when memory runs out, or the items cannot go through together, its two halves one after the other,
    down to a single item. `size` becomes that of the halves for which there was memory, so that what follows fits."""
    middle = len(batch) // 2
    try:
        return run(batch)
    except ApartError:
        if len(batch) == 1:
            raise
    except (RuntimeError, MemoryError) as error:
        if len(batch) == 1 or not out_of_memory(error):
            raise
        log.warning("out of memory at batch size %d: halved", len(batch))
        if size is not None:
            size.most = min(size.most, middle)
    return halving(run, batch[:middle], size) + halving(run, batch[middle:], size)


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: that of an accelerator, or of this machine."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)
