"""Images that people give: checked, bounded in bytes, pixels and number, and forgotten when the viewer stops."""

from __future__ import annotations

import io
import secrets
import threading
from collections import OrderedDict
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from vitrail.errors import DataError, UsageError
from vitrail.samples import EncodedImage, Sample
from vitrail.samples.bounds import PIXELS, ImageBounds

#: Formats that are decoded here; others, such as PostScript, need programs of their own.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
#: So many images are kept, and so many bytes of all of them; the oldest go first.
KEPT, KEPT_BYTES = 64, 200_000_000


class Pictures:
    """Images by ids that cannot be guessed. One is decoded at a time, so memory is that of one."""

    def __init__(self, most: int) -> None:
        self.most, self.bounds = most, ImageBounds()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, data: bytes) -> tuple[str, Image.Image]:
        """Keeps the bytes of an image file; gives its id and the decoded image.

        Raises:
            DataError: it is no image of `FORMATS`, damaged, or too large.
        """
        if len(data) > self.most:
            raise DataError(f"The image has {len(data):,} bytes; at most {self.most:,} are taken.")
        with self._lock:
            image = self._decoded(data)
            name = secrets.token_urlsafe(12)
            self._kept[name] = data
            while len(self._kept) > KEPT or sum(map(len, self._kept.values())) > KEPT_BYTES:
                self._kept.popitem(last=False)
        return name, image

    def open(self, name: str) -> Image.Image:
        """The image of that id.

        Raises:
            UsageError: it is not there (any more).
        """
        with self._lock:
            if name not in self._kept:
                raise UsageError("This image is not here any more. Give it again.")
            self._kept.move_to_end(name)
            return self._decoded(self._kept[name])

    def _decoded(self, data: bytes) -> Image.Image:
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as head:
                width, height = head.size
        except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"This is no image that can be read ({', '.join(FORMATS)} can).") from error
        if width * height > PIXELS:
            raise DataError(f"The image has {width} × {height} pixels; at most {PIXELS:,} are taken.")
        return Sample("the image", EncodedImage("the image", lambda: data, Path()), bounds=self.bounds).open()
