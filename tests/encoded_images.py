"""Small image files, as bytes."""

from __future__ import annotations

import io

from PIL import Image


def encoded() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(buffer, "JPEG")
    return buffer.getvalue()


def animated(n: int = 12) -> bytes:
    """An animated GIF of frames that are told apart by their brightness, 20 more for each."""
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (8, 6), (20 * i,) * 3) for i in range(n)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


JPEG = encoded()
