"""Images in files and inside tables: read, decoded to RGB, shrunk to thumbnails."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from vitrail.artifacts import open_regular, read_regular
from vitrail.errors import DataError, UsageError
from vitrail.samples.bounds import ImageBounds
from vitrail.samples.places import inside


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


def content(image: Path | EncodedImage | Image.Image) -> bytes:
    """The bytes that decide what an image shows: those of its file, or its size and pixels where it is decoded."""
    if isinstance(image, Image.Image):
        pixels = to_rgb(ImageOps.exif_transpose(image))
        return str(pixels.size).encode() + pixels.tobytes()
    return image.read() if isinstance(image, EncodedImage) else read_regular(image)


def size(image: Path | EncodedImage | Image.Image, bounds: ImageBounds) -> tuple[int, int]:
    """(width, height) as stored, before EXIF turns it, from the header alone; raises as `decode`."""
    with _opened(image, bounds) as opened:
        return opened.size


def decode(image: Path | EncodedImage | Image.Image, bounds: ImageBounds) -> Image.Image:
    """The image as a new one: RGB, upright (EXIF), fully decoded. Errors of the decoder pass unchanged.

    Raises:
        DataError: it is beyond `bounds`; it was not decoded.
    """
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


def thumbnail(image: Image.Image, side: int = 160) -> bytes:
    """The JPEG bytes of `image`, shrunk (never enlarged) to fit a square of `side` pixels.

    Raises:
        UsageError: `side` is less than 1.
    """
    if side < 1:
        raise UsageError(f"side should be at least 1 pixel, got {side}")
    small = to_rgb(image)
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85, comment=b"")  # else a comment in the source comes along
    return buffer.getvalue()
