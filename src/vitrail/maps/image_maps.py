"""The maps of one image, in its coordinates."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from vitrail.notebook import Picture, Shown, View
from vitrail.samples import Layout

#: The longer side of a map, in its own pixels. Maps are as fine as the pieces that a model sees, which are larger.
LONG_SIDE = 112
#: How far what is drawn over an image hides it where it is strongest, and its colour in notebooks.
_OPACITY, _ORANGE = 0.72, (255, 120, 0)
#: The figures of a value in JSON.
_FIGURES = 4


@dataclass(frozen=True, eq=False)
class TargetMap:
    """Where in an image the activation of a concept, or the logit of the word, comes from.

    Args:
        concept: the row of the concept in `U`; None for the word.
        title: of the concept; or the word.
        value: the activation in multiples of the typical one (`Concepts.typical`), or the logit.
        shares: (height, width), in the coordinates of the image: `shares[i, j]` is the share of its rows from
            `i / height` to `(i + 1) / height` and of its columns likewise, in the units of `value`. Above 0 the place
            raises the value, below 0 it lowers it.
    """

    concept: int | None
    title: tuple[str, ...]
    value: float
    shares: Float[np.ndarray, "height width"]


@dataclass(frozen=True, eq=False)
class ImageMaps(Shown):
    """The maps of one image.

    Args:
        image: its name.
        caption: what the model said of it.
        word: the word as it is said there.
        method: how the maps were made; `answers` is the question that they answer.
        maps: of the strongest concepts, and of the word.
        thumbnail: a small JPEG of the image.
        frames: where in it lie the images of a strip: left, top, right and bottom of each, as shares of its width and
            height; none for a single image.
    """

    image: str
    caption: str
    word: str
    method: str
    answers: str
    maps: tuple[TargetMap, ...]
    thumbnail: bytes
    frames: tuple[tuple[float, float, float, float], ...] = ()

    def of_frames(self, one: TargetMap) -> tuple[float, ...]:
        """How much each image of a strip raises a value or lowers it, in the units of the value; none for a single
        image."""
        height, width = one.shares.shape
        x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
        inside = (
            ((left <= x) & (x < right))[None] & ((top <= y) & (y < bottom))[:, None]
            for left, top, right, bottom in self.frames
        )
        return tuple(float(one.shares[here].sum()) for here in inside)

    def _shown(self) -> View:
        rows = tuple(
            ("the word" if m.concept is None else m.concept, " · ".join(m.title), m.value, self._over(m))
            for m in self.maps
        )
        about, pictures = f"in “{self.caption.strip()}”", (Picture(self.thumbnail, self.image),)
        heads = ("concept", "title", "value", "what raises it, the more orange the more")
        return View(f"“{self.word.strip()}”", about, heads, rows, pictures, (f"{self.method}: {self.answers}",))

    def _over(self, one: TargetMap) -> Picture:
        """The image, and over it in orange what raises a value, on the scale of the targets of its kind."""
        alike = [m.shares for m in self.maps if (m.concept is None) == (one.concept is None)]
        largest = max(float(shares.max()) for shares in alike) or 1.0
        image = Image.open(io.BytesIO(self.thumbnail)).convert("RGB")
        opacity = np.clip(one.shares / largest, 0, 1) * 255 * _OPACITY
        mask = Image.fromarray(opacity.astype(np.uint8)).resize(image.size, Image.Resampling.BILINEAR)
        image.paste(_ORANGE, (0, 0), mask)
        found = io.BytesIO()
        image.save(found, "JPEG", quality=85)
        return Picture(found.getvalue(), " · ".join(one.title))

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the picture."""
        return {
            "image": self.image,
            "caption": self.caption,
            "word": self.word,
            "method": self.method,
            "answers": self.answers,
            **({"frames": [list(box) for box in self.frames]} if self.frames else {}),
            "maps": [
                {
                    "concept": one.concept,
                    "title": list(one.title),
                    "value": one.value,
                    **({"of_frames": list(self.of_frames(one))} if self.frames else {}),
                    "shares": [[float(f"{v:.{_FIGURES}g}") for v in row] for row in one.shares.tolist()],
                }
                for one in self.maps
            ],
        }


def shape_of(layout: Layout) -> tuple[int, int]:
    """Rows and columns of the maps of an image with this layout; up to four images of a strip are as fine as one."""
    longest = max(layout.size) / min(len(layout.boxes) or 1, 4)
    width, height = (max(1, round(LONG_SIDE * n / longest)) for n in layout.size)
    return height, width
