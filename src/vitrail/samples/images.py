"""Images in files and inside tables: read, decoded to RGB, shrunk to thumbnails."""

from __future__ import annotations

import hashlib
import io
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import numpy as np
from PIL import Image, ImageOps

from vitrail.artifacts import open_regular, read_regular
from vitrail.errors import DataError, UsageError
from vitrail.samples.bounds import ImageBounds
from vitrail.samples.places import inside
from vitrail.samples.strips import n_frames

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
#: Frames of an animated GIF, WebP or PNG are taken where the data call it a video.
VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})

C = TypeVar("C", bound="Composite")


@dataclass(frozen=True)
class EncodedImage:
    """An image inside a table, not yet decoded.

    Args:
        name: the place of the image in the table, for messages and display.
        cell: fetches the cell: the bytes of an image file, or `{"bytes": …, "path": …}`.
        root: the folder below which a path in the cell lies.
        file: the file that the image is cut out of, if it is.
        anywhere: whether a path in the cell may lead out of `root`.
    """

    name: str
    cell: Callable[[], Any] = field(repr=False)
    root: Path = field(repr=False)
    file: Path | None = field(default=None, repr=False)
    anywhere: bool = field(default=False, repr=False)

    def read(self) -> bytes:
        """The bytes of the image file, from the table, or from the file that the cell names.

        Raises:
            DataError: that file lies outside of `root`, and may not.
        """
        content = self._content()
        if isinstance(content, bytes):
            return content
        path = self.root / content
        if not self.anywhere and not inside(self.root)(path):
            raise DataError(f"{path} lies outside of {self.root}; to follow such paths, add --allow-outside")
        return read_regular(path)

    def key(self) -> str:
        """A hash of the bytes; where the cell has only a path, the path as written."""
        content = self._content()
        return hashlib.sha256(content).hexdigest()[:16] if isinstance(content, bytes) else content

    def _content(self) -> bytes | str:
        cell = self.cell()
        choices = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell,)
        content = next((choice for choice in choices if choice is not None), None)
        if not isinstance(content, bytes | str):
            raise DataError(f"{self.name}: field 'image' should hold an encoded image or a path, got {cell!r:.80}")
        return content


def encoded_in(name: str, root: Path, cell: Callable[..., Any], n: int | None) -> EncodedImage | list[EncodedImage]:
    """The image of a cell; or, where it holds a list of `n`, each of them, which `cell(number)` fetches."""
    if n is None:
        return EncodedImage(name, cell, root)
    return [EncodedImage(f"{name} image {j + 1}", partial(cell, j), root) for j in range(n)]


class Composite(ABC):
    """What is read as several images, and decoded to one strip; see `several` and `strips`."""

    @property
    @abstractmethod
    def name(self) -> str:
        """For messages and display."""

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """The files that it is read from, as far as they are known before it is opened."""

    @abstractmethod
    def content(self) -> bytes:
        """See `images.content`."""

    @abstractmethod
    def size(self, bounds: ImageBounds) -> tuple[int, int]:
        """See `images.size`."""

    @abstractmethod
    def decode(self, bounds: ImageBounds) -> Image.Image:
        """See `images.decode`."""

    @abstractmethod
    def changed(self: C, change: Callable[[Path | EncodedImage], Path | EncodedImage]) -> C:
        """The same of other images: of what `change` gives for each."""


#: What a sample may have as its image.
AnyImage: TypeAlias = "Path | EncodedImage | Image.Image | Composite"


def files_of(image: AnyImage) -> tuple[Path, ...]:
    """The files that an image lies in, as far as they are known before it is opened."""
    if isinstance(image, Composite):
        return image.files
    file = image if isinstance(image, Path) else image.file if isinstance(image, EncodedImage) else None
    return () if file is None else (file,)


def changed(image: AnyImage, change: Callable[[Path | EncodedImage], Path | EncodedImage]) -> AnyImage:
    """The image that `change` gives for one in a file or a table, or for each of several."""
    if isinstance(image, Composite):
        return image.changed(change)
    return image if isinstance(image, Image.Image) else change(image)


def followed(image: Path | EncodedImage) -> Path | EncodedImage:
    """The image, whose file may lie outside of the folder of the data."""
    return replace(image, anywhere=True) if isinstance(image, EncodedImage) else image


def content(image: AnyImage) -> bytes:
    """The bytes that decide what an image shows: those of its file, or its size and pixels where it is decoded."""
    if isinstance(image, Composite):
        return image.content()
    if isinstance(image, Image.Image):
        pixels = to_rgb(ImageOps.exif_transpose(image))
        return str(pixels.size).encode() + pixels.tobytes()
    return image.read() if isinstance(image, EncodedImage) else read_regular(image)


def size(image: AnyImage, bounds: ImageBounds) -> tuple[int, int]:
    """(width, height) as stored, before EXIF turns it, from the header alone; raises as `decode`."""
    if isinstance(image, Composite):
        return image.size(bounds)
    with _opened(image, bounds) as opened:
        return opened.size


def decode(image: AnyImage, bounds: ImageBounds) -> Image.Image:
    """The image as a new one: RGB, upright (EXIF), fully decoded. Errors of the decoder pass unchanged.

    Raises:
        DataError: it is beyond `bounds`; it was not decoded.
    """
    if isinstance(image, Composite):
        return image.decode(bounds)
    with _opened(image, bounds) as opened:
        if opened is image:
            return to_rgb(ImageOps.exif_transpose(opened))
        ImageOps.exif_transpose(opened, in_place=True)  # a copy would take as much memory again
        opened.load()
        return opened if opened.mode == "RGB" and "transparency" not in opened.info else to_rgb(opened)


@contextmanager
def _opened(image: Path | EncodedImage | Image.Image, bounds: ImageBounds) -> Iterator[Image.Image]:
    """The image with its header read, whose size is within `bounds`."""
    if isinstance(image, Image.Image):
        bounds.check(image.size)
        yield image
        return
    with io.BytesIO(image.read()) if isinstance(image, EncodedImage) else open_regular(image) as file:
        with warnings.catch_warnings():  # PIL only warns up to twice the limit; here any image above it is an error
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            opened = Image.open(file)
        bounds.check(opened.size)
        pixels, most = opened.width * opened.height, Image.MAX_IMAGE_PIXELS
        if most is not None and pixels > most:
            raise Image.DecompressionBombError(f"{pixels} pixels, more than the {most} that are allowed")
        with opened:
            yield opened


#: Formats that have at most 16 bits, which Pillow may give in mode "I" all the same.
_SIXTEEN_BITS = ("PNG", "PPM")


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as a new one in RGB: 16 bits scaled to 8, transparent parts over white.

    Raises:
        ValueError: 32-bit numbers, which do not say what is white.
    """
    if image.mode == "F" or (image.mode == "I" and image.format not in _SIXTEEN_BITS):
        raise ValueError(
            f"it has 32-bit numbers (mode {image.mode}), and nothing says which of them is white; save it with 8 or 16 "
            "bits per channel"
        )
    if image.mode.startswith("I"):  # 16 bits, which convert() would clip to 8: nearly every pixel white
        image = Image.fromarray(np.clip(np.asarray(image) // 256, 0, 255).astype(np.uint8))
    if image.mode == "La":  # transparency that is multiplied in already; Pillow converts it in two steps
        image = image.convert("LA")
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


#: How many squares wide the thumbnail of a strip may be.
_SQUARES = 4


def thumbnail(image: Image.Image, side: int = 160) -> bytes:
    """The JPEG bytes of `image`, shrunk (never enlarged) to fit a square of `side` pixels; those of a strip to fit as
    many such squares side by side as it has images, up to four.

    Raises:
        UsageError: `side` is less than 1.
    """
    if side < 1:
        raise UsageError(f"side should be at least 1 pixel, got {side}")
    small = to_rgb(image)
    small.thumbnail((side * min(n_frames(image), _SQUARES), side))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85, comment=b"")  # else a comment in the source comes along
    return buffer.getvalue()
