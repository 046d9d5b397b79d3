"""Images are opened when a batch needs them, and those that cannot be opened are listed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import TypeVar

from PIL import Image

from vitrail.errors import DataError
from vitrail.samples.bounds import PIXELS
from vitrail.samples.parts import Digests
from vitrail.samples.sample import Sample

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")


@cache
def decoders() -> ThreadPoolExecutor:
    """The threads that decode images, one for each core that this process may use: decoders let others work."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(cores, "vitrail-decode")


@cache
def _hasher() -> ThreadPoolExecutor:
    """The thread that finds what samples are by content: one, so that decoding does not wait for it."""
    return ThreadPoolExecutor(1, "vitrail-hash")


def digests_of(samples: Sequence[Sample]) -> Future[Digests]:
    """What `samples` are by content, found in a thread."""
    return _hasher().submit(lambda: [sample.digests() for sample in samples])


if hasattr(os, "register_at_fork"):  # threads do not come along
    os.register_at_fork(after_in_child=decoders.cache_clear)
    os.register_at_fork(after_in_child=_hasher.cache_clear)


@dataclass
class Opener:
    """Opens the images of many samples, batch by batch. Several threads may use it.

    Args:
        skipped: the id of each sample whose image cannot be opened → the reason.
        kept: images that stay open for the next pass over the same samples.
        room: how many pixels more may be kept.
    """

    skipped: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Image.Image] = field(default_factory=dict)
    room: int = field(default_factory=lambda: PIXELS)
    _guard: Lock = field(default_factory=Lock, init=False, repr=False)

    def size(self, sample: Sample) -> tuple[int, int] | None:
        """The size of the image by its header (see `Sample.size`); None, and it is listed, if that cannot be read."""
        return self.tried(sample, Sample.size)

    def each(
        self, batch: Sequence[A], sample: Callable[[A], Sample], make: Callable[[list[A], list[Image.Image]], B]
    ) -> list[tuple[list[int], B]]:
        """What `make` makes of the items of a batch whose image can be opened, with their places in the batch.

        Where `make` refuses a batch, as the processor of a model does that cannot take one of the images, the batch is
        halved until the item is alone: it is listed, and the others are made in as many pieces.

        Args:
            batch: as many items as may be open at once; see `bounds.batches`.
            sample: of an item.
            make: is given items and their images.
        """
        images = list(decoders().map(lambda item: self.tried(sample(item), self._open), batch))
        made, left = [], [[i for i, image in enumerate(images) if image is not None]]
        while left:  # no recursion: a function that names itself would keep the images until they are collected
            places = left.pop()
            try:
                if places:
                    given = [image for i in places if (image := images[i]) is not None]
                    made.append((places, make([batch[i] for i in places], given)))
            except DataError as error:
                if len(places) == 1:
                    one = sample(batch[places[0]])
                    self._skip(one, f"sample {one.id!r}: {error}")
                else:
                    middle = len(places) // 2
                    left += [places[middle:], places[:middle]]
        return made

    def _open(self, sample: Sample) -> Image.Image:
        if sample.id in self.kept:
            return self.kept[sample.id]
        image = sample.open()
        with self._guard:
            if (pixels := image.width * image.height) <= self.room:
                self.kept[sample.id] = image
                self.room -= pixels
        return image

    def tried(self, sample: Sample, read: Callable[[Sample], B]) -> B | None:
        """What is read of a sample; None, and it is listed, if that cannot be read."""
        try:
            return read(sample)
        except DataError as error:
            self._skip(sample, str(error))
            return None

    def _skip(self, sample: Sample, reason: str) -> None:
        log.debug("skipped: %s", reason)
        self.skipped[sample.id] = reason
