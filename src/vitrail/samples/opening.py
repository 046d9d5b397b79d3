"""Images are opened when a batch needs them, and those that cannot be opened are listed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from PIL import Image

from vitrail.errors import DataError
from vitrail.samples.bounds import PIXELS
from vitrail.samples.sample import Sample

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")


@dataclass
class Opener:
    """Opens the images of many samples, batch by batch.

    Args:
        skipped: the id of each sample whose image cannot be opened → the reason.
        kept: images that stay open for the next pass over the same samples.
        room: how many pixels more may be kept.
    """

    skipped: dict[str, str] = field(default_factory=dict)
    kept: dict[str, Image.Image] = field(default_factory=dict)
    room: int = field(default_factory=lambda: PIXELS)

    def size(self, sample: Sample) -> tuple[int, int] | None:
        """The size of the image by its header (see `Sample.size`); None, and it is listed, if that cannot be read."""
        return self.tried(sample, Sample.size)

    def each(
        self, batch: Sequence[A], sample: Callable[[A], Sample], run: Callable[[list[A], list[Image.Image]], list[B]]
    ) -> list[B | None]:
        """The results of `run` for the items of a batch whose image can be opened, and None for the others.

        Where `run` refuses a batch, as the processor of a model does that cannot take one of the images, the batch is
        halved until the item is alone: it is listed, and the others have their results.

        Args:
            batch: as many items as may be open at once; see `bounds.batches`.
            sample: of an item.
            run: is given items and their images, and gives one result for each.
        """
        images = [self.tried(sample(item), self._open) for item in batch]
        ready = [(item, image) for item, image in zip(batch, images, strict=True) if image is not None]

        def results(some: Sequence[tuple[A, Image.Image]]) -> Iterator[B | None]:
            try:
                found = run([item for item, _ in some], [image for _, image in some]) if some else []
            except DataError as error:
                if len(some) == 1:
                    one = sample(some[0][0])
                    self._skip(one, f"sample {one.id!r}: {error}")
                    yield None
                else:
                    yield from results(some[: len(some) // 2])
                    yield from results(some[len(some) // 2 :])
            else:
                yield from found

        of_ready = results(ready)
        return [None if image is None else next(of_ready) for image in images]

    def _open(self, sample: Sample) -> Image.Image:
        if sample.id in self.kept:
            return self.kept[sample.id]
        image = sample.open()
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
