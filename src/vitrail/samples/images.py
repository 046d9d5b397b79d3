"""Images in files and inside tables: read, decoded to RGB, shrunk to thumbnails."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from vitrail.errors import DataError, UsageError


@dataclass(frozen=True)
class EncodedImage:
    """An image inside a table, not yet decoded.

    Args:
        name: the place of the image in the table, for messages and display.
        cell: fetches the cell: the bytes of an image file, or `{"bytes": …, "path": …}`.
        root: the folder below which a path in the cell lies.
    """

    name: str
    cell: Callable[[], Any] = field(repr=False)
    root: Path = field(repr=False)

    def read(self) -> bytes:
        """The bytes of the image file, from the table, or from the file that the cell names."""
        content = self._content()
        return content if isinstance(content, bytes) else (self.root / content).read_bytes()

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
        pixels = decode(image)
        return str(pixels.size).encode() + pixels.tobytes()
    return image.read() if isinstance(image, EncodedImage) else image.read_bytes()


def decode(image: Path | EncodedImage | Image.Image) -> Image.Image:
    """The image as a new one: RGB, upright (EXIF), fully decoded. Errors of the decoder pass unchanged."""
    if isinstance(image, Image.Image):
        return to_rgb(ImageOps.exif_transpose(image))
    file = io.BytesIO(image.read()) if isinstance(image, EncodedImage) else image
    with warnings.catch_warnings():  # PIL only warns up to twice the limit; here any image above it is an error
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        opened = Image.open(file)
    with opened:
        pixels, most = opened.width * opened.height, Image.MAX_IMAGE_PIXELS
        if most is not None and pixels > most:
            raise Image.DecompressionBombError(f"{pixels} pixels, more than the {most} that are allowed")
        return to_rgb(ImageOps.exif_transpose(opened))


def to_rgb(image: Image.Image) -> Image.Image:
    """The image as a new one in RGB: 16 bits scaled to 8, transparent parts over white."""
    if image.mode.startswith("I"):  # 16 bits, which convert() would clip to 8: nearly every pixel white
        image = Image.fromarray(np.clip(np.asarray(image) // 256, 0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
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
