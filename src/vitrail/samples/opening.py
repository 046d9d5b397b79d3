"""Images are opened when a batch needs them, and those that cannot be opened are listed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
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
        return self._tried(sample, Sample.size)

    def each(
        self, batch: Sequence[A], sample: Callable[[A], Sample], run: Callable[[list[A], list[Image.Image]], list[B]]
    ) -> list[B | None]:
        """The results of `run` for the items of a batch whose image can be opened, and None for the others.

        Args:
            batch: as many items as may be open at once; see `bounds.batches`.
            sample: of an item.
            run: is given items and their images, and gives one result for each.
        """
        images = [self._tried(sample(item), self._open) for item in batch]
        ready = [item for item, image in zip(batch, images, strict=True) if image is not None]
        results = iter(run(ready, [image for image in images if image is not None]) if ready else ())
        return [None if image is None else next(results) for image in images]

    def _open(self, sample: Sample) -> Image.Image:
        if sample.id in self.kept:
            return self.kept[sample.id]
        image = sample.open()
        if (pixels := image.width * image.height) <= self.room:
            self.kept[sample.id] = image
            self.room -= pixels
        return image

    def _tried(self, sample: Sample, read: Callable[[Sample], B]) -> B | None:
        try:
            return read(sample)
        except DataError as error:
            log.debug("skipped: %s", error)
            self.skipped[sample.id] = str(error)
            return None
