"""Several images as one: side by side in a strip, which says where each of them lies in it.

A strip is an image like any other: it is shown, shrunk and covered as a whole, and a map of it is in its coordinates.
Only a model is given the images that it consists of; see `frames_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from vitrail.errors import UsageError

#: Where in a strip an image lies: left, top, right and bottom in pixels.
Box = tuple[int, int, int, int]
#: The name under which a strip keeps its layout, in the `info` of Pillow.
_INFO = "vitrail.layout"
#: The gap between two images of a strip, as a share of the height of the higher.
_GAP = 0.02


@dataclass(frozen=True)
class Film:
    """Which frames of a video the images of a strip are.

    Args:
        numbers: of each image, from 0 on.
        of: how many frames the video has.
        rate: frames per second; None where the video does not say it.
    """

    numbers: tuple[int, ...]
    of: int
    rate: float | None = None


@dataclass(frozen=True)
class Layout:
    """The size of an image, and where in it lie those that it consists of.

    Args:
        size: width and height.
        boxes: of each image of a strip, in their order; none for a single image.
        film: which frames these are; None where they are not of a video.
    """

    size: tuple[int, int]
    boxes: tuple[Box, ...] = ()
    film: Film | None = None

    @classmethod
    def of(cls, image: Image.Image) -> Layout:
        """The layout of an image.

        Raises:
            UsageError: it was cut, resized or turned after it was put together.
        """
        found = image.info.get(_INFO)
        if not isinstance(found, Layout):
            return cls(image.size)
        if found.size != image.size:
            raise UsageError(
                f"A strip of {len(found.boxes)} images of {found.size[0]} × {found.size[1]} pixels was made one of "
                f"{image.width} × {image.height}, so that they cannot be told apart. Change the images, then make a "
                "strip of them."
            )
        return found

    @property
    def shares(self) -> tuple[tuple[float, float, float, float], ...]:
        """The boxes as shares of the width and the height."""
        width, height = self.size
        return tuple(
            (left / width, top / height, right / width, bottom / height) for left, top, right, bottom in self.boxes
        )

    def on(self, image: Image.Image) -> Image.Image:
        """`image`, which has this layout from now on."""
        if self.boxes:
            image.info[_INFO] = self
        return image


def strip(images: Sequence[Image.Image], film: Film | None = None) -> Image.Image:
    """Images side by side, at their own sizes, as one; a single image that is of no video as it is.

    Args:
        images: in RGB, at least one.
        film: which frames they are, if they are of a video.
    """
    if len(images) == 1 and film is None:
        return images[0]
    size, boxes = placed([image.size for image in images])
    return _pasted(images, Layout(size, boxes, film))


def replaced(image: Image.Image, frames: Sequence[Image.Image]) -> Image.Image:
    """Other images in the places of those of a strip; the one that is given for an image that is none.

    Args:
        frames: as many as `frames_of(image)`, of the same sizes.
    """
    layout = Layout.of(image)
    return _pasted(frames, layout) if layout.boxes else frames[0]


def _pasted(images: Sequence[Image.Image], layout: Layout) -> Image.Image:
    found = Image.new("RGB", layout.size, "white")
    for image, box in zip(images, layout.boxes, strict=True):
        found.paste(image, box)
    return layout.on(found)


def placed(sizes: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], tuple[Box, ...]]:
    """The size of a strip of images of these sizes, and where they lie in it."""
    highest = max(height for _, height in sizes)
    gap, left, boxes = max(1, round(_GAP * highest)), 0, []
    for width, height in sizes:
        boxes.append((left, 0, left + width, height))
        left += width + gap
    return (left - gap, highest), tuple(boxes)


def frames_of(image: Image.Image) -> list[Image.Image]:
    """The images that a strip consists of, in their order; the image itself where it is none.

    Raises:
        UsageError: the strip was cut, resized or turned after it was put together.
    """
    boxes = Layout.of(image).boxes
    return [_alone(image.crop(box)) for box in boxes] or [image]


def n_frames(image: Image.Image) -> int:
    """How many images a strip consists of; 1 for any other image."""
    return len(Layout.of(image).boxes) or 1


def _alone(image: Image.Image) -> Image.Image:
    info: dict[Any, Any] = image.info
    info.pop(_INFO, None)
    return image
