"""How large an image may be, by its header, before it is decoded; and how many are decoded at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from vitrail.errors import DataError
from vitrail.options import AtLeast, Count, Options

#: The pixels that the images of a batch have together, at most, unless it is of one image: some 0.3 GB once decoded.
PIXELS = 64_000_000


@dataclass(frozen=True)
class ImageBounds(Options):
    """The largest image that is decoded, and where its file may lie.

    Beside it, `PIL.Image.MAX_IMAGE_PIXELS` bounds the number of pixels.

    Args:
        max_side: pixels of the longer side of an image, at most; larger images are skipped and listed.
        max_ratio: of the longer side of an image to the shorter, at most; others are skipped and listed. Models make
            the shorter side as long as they need, and the longer side with it.
        allow_outside: follow paths in the data that lead out of their folder (`..`, absolute ones, links).
    """

    max_side: Count = 20_000
    max_ratio: Annotated[float, AtLeast(1)] = 50.0
    allow_outside: bool = False

    def check(self, size: tuple[int, int]) -> None:
        """Raises `DataError` if an image of `size` (width, height) is beyond these bounds."""
        longer, shorter = max(size), max(min(size), 1)
        found = f"it has {size[0]} × {size[1]} pixels"
        if longer > self.max_side:
            raise DataError(f"{found}, and no side may be longer than max_side, {self.max_side}")
        if longer > self.max_ratio * shorter:
            raise DataError(f"{found}, and no side may be longer than max_ratio, {self.max_ratio:g}, times the other")


def batches(pixels: Sequence[int], most: int | Callable[[], int]) -> Iterator[range]:
    """Batches of images that follow each other, as ranges: at most `most` images, and at most `PIXELS` pixels together.

    >>> list(batches([40_000_000, 12_000_000, 13_000_000, 1, 1], 2))
    [range(0, 2), range(2, 4), range(4, 5)]

    Args:
        pixels: of each image; one that has more than `PIXELS` makes a batch of its own.
        most: images in a batch; a function is asked whenever a batch begins or grows.
    """
    start = total = 0
    for i, n in enumerate(pixels):
        if i > start and (i - start >= (most() if callable(most) else most) or total + n > PIXELS):
            yield range(start, i)
            start, total = i, 0
        total += n
    if start < len(pixels):
        yield range(start, len(pixels))
