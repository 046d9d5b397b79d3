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
from vitrail.samples.strips import Box

#: Side of the window that covers, in cells.
WINDOW = 2


def occlusion(question: Question) -> Float[np.ndarray, "images targets height width"]:
    """Maps by occlusion."""
    return np.stack([_of_image(question, i) for i in range(len(question.images))])


def _of_image(question: Question, which: int) -> Float[np.ndarray, "targets height width"]:
    whole = question.values([question.images[which]], which)
    found = [_of_box(question, which, box, whole) for box in question.layout.boxes or [(0, 0, *question.layout.size)]]
    falls, boxes = np.concatenate([f for f, _ in found], axis=1), np.concatenate([b for _, b in found])
    return Places(np.arange(len(boxes))[None], boxes[:, None]).raster(falls, *question.shape)


def _of_box(
    question: Question, which: int, box: Box, whole: Float[np.ndarray, "targets 1"]
) -> tuple[Float[np.ndarray, "targets cells"], Float[np.ndarray, "cells 4"]]:
    """How much each target falls where a cell of one image is covered, the whole picture or one of a strip; and where
    the cells lie, as in `Places`."""
    image = np.asarray(question.images[which])
    left, top, right, bottom = box
    side = max(bottom - top, right - left) / question.options.cells
    rows, columns = max(1, round((bottom - top) / side)), max(1, round((right - left) / side))
    down = np.linspace(top, bottom, rows + 1).round().astype(int)
    across = np.linspace(left, right, columns + 1).round().astype(int)
    colour = image[top:bottom, left:right].mean((0, 1)).round()
    corners = [(r, c) for r in range(1 - WINDOW, rows) for c in range(1 - WINDOW, columns)]
    windows = [(slice(max(r, 0), r + WINDOW), slice(max(c, 0), c + WINDOW)) for r, c in corners]
    covered = []
    for r, c in windows:
        changed = image.copy()
        changed[down[r.start] : down[min(r.stop, rows)], across[c.start] : across[min(c.stop, columns)]] = colour
        covered.append(question.layout.on(Image.fromarray(changed)))
    falls = whole - question.values(covered, which)
    total, times = np.zeros((len(falls), rows, columns)), np.zeros((rows, columns))
    for (r, c), fall in zip(windows, falls.T, strict=True):
        total[:, r, c] += fall[:, None, None]
        times[r, c] += 1
    width, height = question.layout.size
    boxes = [
        (across[c] / width, down[r] / height, across[c + 1] / width, down[r + 1] / height)
        for r in range(rows)
        for c in range(columns)
    ]
    return (total / times).reshape(len(falls), -1), np.array(boxes)
