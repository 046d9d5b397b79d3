"""Scores of maps: does a map show where a thing stands, and do the pieces that it shows first decide the value?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

#: Where a map is cut to compare it with a mask: shares of its largest value.
CUTS = tuple(i / 20 for i in range(1, 20))


def pointing(shares: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> float:
    """The pointing game (Zhang et al. 2016): 1 where the piece with the largest share touches the mask, else 0; 0 for a
    map in which nothing raises the value.

    All pixels of a piece have the same share; so the control by chance must be a map of such pieces, too.
    """
    top = shares.max()
    return float(top > 0 and mask[shares >= top * (1 - 1e-12)].any())


def energy_inside(shares: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> float:
    """The share in the mask of all that raises the value; NaN where nothing does. By chance it is the mask's area."""
    raised = np.maximum(shares, 0)
    total = raised.sum()
    return float(raised[mask].sum() / total) if total > 0 else float("nan")


def overlaps(shares: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, " cuts"]:
    """Intersection over union of the mask with what the map shows, at each of `CUTS`; 0 where nothing raises it."""
    top = shares.max()
    shown = [shares >= cut * top if top > 0 else np.zeros_like(mask) for cut in CUTS]
    return np.array([(s & mask).sum() / max((s | mask).sum(), 1) for s in shown])


def best_overlap(curves: Float[np.ndarray, "n cuts"], images: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """For each of n maps its overlap at the cut that is best for the maps of all other images; NaN without any other.

    Args:
        curves: the overlaps of each map at each of `CUTS`.
        images: the number of the image that each map is of.
    """
    found = np.full(len(curves), np.nan)
    for image in np.unique(images):
        own = images == image
        if not own.all():
            found[own] = curves[own, curves[~own].mean(axis=0).argmax()]
    return found


def area_under(values: Float[np.ndarray, " steps"]) -> float:
    """The mean height of a curve of a value while pieces are deleted or inserted, relative to its larger end, 0 to 1 of
    which it may leave; the first and last step count half."""
    ends = max(values[0], values[-1])
    return float(np.trapezoid(values, dx=1 / (len(values) - 1)) / ends) if ends > 0 else float("nan")


def agreement(a: Float[np.ndarray, "h w"], b: Float[np.ndarray, "h w"]) -> float:
    """Pearson's correlation of two maps of the same place; NaN where one of them is the same everywhere."""
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


# ---- pieces: squares of a grid of `side` by `side` over the whole image ----------------------------------------------


def in_pieces(shares: Float[np.ndarray, "h w"], side: int) -> Float[np.ndarray, "{side} {side}"]:
    """A map in pieces: the sum of its shares in each."""
    rows, columns = (np.arange(n) * side // n for n in shares.shape)
    index = rows[:, None] * side + columns
    return np.bincount(index.ravel(), shares.ravel(), side * side).reshape(side, side)


def of_pieces(pieces: Float[np.ndarray, "side side"], shape: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """Pieces as a map of that shape, with the value of its piece everywhere."""
    rows, columns = (np.arange(n) * len(pieces) // n for n in shape)
    return pieces[rows[:, None], columns]


def centre_blob(shape: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """A map of that shape that is largest in the centre, whatever the image: `exp(−4 (x² + y²))`, x, y in [−1, 1]."""
    y, x = (np.linspace(-1, 1, n) for n in shape)
    return np.exp(-4 * (y[:, None] ** 2 + x**2))


def first_pieces(
    pieces: Float[np.ndarray, "side side"], shape: tuple[int, int], steps: int
) -> Bool[np.ndarray, "{steps}+1 h w"]:
    """Masks of that shape: at step i of `steps` the share `i / steps` of all pieces, those with the largest value."""
    order = np.argsort(-pieces.ravel(), kind="stable")
    rank = np.empty(pieces.size)
    rank[order] = np.arange(pieces.size)
    ranks = of_pieces(rank.reshape(pieces.shape), shape)
    return np.stack([ranks < round(step / steps * pieces.size) for step in range(steps + 1)])
