"""Maps by occlusion: how much a target falls where a piece of the image is covered (Zeiler & Fergus 2014).

The image itself is covered, with its mean colour, and goes through the model as any other; so this works for every
model, and what a map says is what happened. A window of two by two cells slides over the image by one cell; a cell has
the mean of the windows that cover it.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image

from vitrail.lmm.coordinates import Places
from vitrail.maps.question import Question

#: Side of the window that covers, in cells.
WINDOW = 2


def occlusion(question: Question) -> Float[np.ndarray, "images targets height width"]:
    """Maps by occlusion."""
    return np.stack([_of_image(question, i) for i in range(len(question.images))])


def _of_image(question: Question, which: int) -> Float[np.ndarray, "targets height width"]:
    image = np.asarray(question.images[which])
    height, width = image.shape[:2]
    side = max(height, width) / question.options.cells
    rows, columns = max(1, round(height / side)), max(1, round(width / side))
    down, across = np.linspace(0, height, rows + 1).round().astype(int), np.linspace(0, width, columns + 1).round()
    across = across.astype(int)
    corners = [(r, c) for r in range(1 - WINDOW, rows) for c in range(1 - WINDOW, columns)]
    windows = [(slice(max(r, 0), r + WINDOW), slice(max(c, 0), c + WINDOW)) for r, c in corners]
    covered = [
        _covered(
            image, slice(down[r.start], down[min(r.stop, rows)]), slice(across[c.start], across[min(c.stop, columns)])
        )
        for r, c in windows
    ]
    whole = question.values([question.images[which]], which)
    falls = whole - question.values(covered, which)
    total, times = np.zeros((len(falls), rows, columns)), np.zeros((rows, columns))
    for (r, c), fall in zip(windows, falls.T, strict=True):
        total[:, r, c] += fall[:, None, None]
        times[r, c] += 1
    boxes = [
        (across[c] / width, down[r] / height, across[c + 1] / width, down[r + 1] / height)
        for r in range(rows)
        for c in range(columns)
    ]
    places = Places(np.arange(rows * columns)[None], np.array(boxes))
    return places.raster((total / times).reshape(len(falls), -1), *question.shape)


def _covered(image: np.ndarray, rows: slice, columns: slice) -> Image.Image:
    changed = image.copy()
    changed[rows, columns] = image.mean((0, 1)).round()
    return Image.fromarray(changed)
