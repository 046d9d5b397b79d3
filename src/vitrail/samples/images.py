"""Images: found in a file or inside a table, decoded to RGB, and shrunk to thumbnails."""

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
    """An image inside a table, still in its file format; `cell()` fetches it: bytes, or `{"bytes", "path"}`."""

    name: str
    cell: Callable[[], Any] = field(repr=False)
    root: Path = field(repr=False)

    def read(self) -> bytes:
        """The encoded bytes, from the table or from the file that it names below `root`."""
        content = self._content()
        return content if isinstance(content, bytes) else (self.root / content).read_bytes()

    def key(self) -> str:
        """A hash of the bytes, or the path as written where the table holds no bytes."""
        content = self._content()
        return hashlib.sha256(content).hexdigest()[:16] if isinstance(content, bytes) else content

    def _content(self) -> bytes | str:
        cell = self.cell()
        choices = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell,)
        content = next((choice for choice in choices if choice is not None), None)
        if not isinstance(content, bytes | str):
            raise DataError(f"{self.name}: field 'image' should hold an encoded image or a path, got {cell!r:.80}")
        return content


def decode(image: Path | EncodedImage | Image.Image) -> Image.Image:
    """A new image: RGB, upright (EXIF), fully decoded; what its decoder raises comes out as it is."""
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
    """A new image in RGB: 16 bits scaled to 8, transparency over white."""
    if image.mode.startswith("I"):  # 16 bits, which convert() would clip to 8: nearly every pixel white
        image = Image.fromarray(np.clip(np.asarray(image) // 256, 0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def thumbnail(image: Image.Image, side: int = 160) -> bytes:
    """JPEG bytes of `image`, shrunk (never grown) to fit a square of `side` pixels."""
    if side < 1:
        raise UsageError(f"side should be at least 1 pixel, got {side}")
    small = to_rgb(image)
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85, comment=b"")  # else a comment in the source comes along
    return buffer.getvalue()
