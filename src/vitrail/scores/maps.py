"""Scores of maps against masks: does a map show where a thing stands?"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

#: Where a map is cut to compare it with a mask: shares of its largest value.
CUTS = tuple(i / 20 for i in range(1, 20))


def pointing(shares: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> float:
    """The pointing game (Zhang et al. 2016): 1 where the piece with the largest share touches the mask, else 0.

    All pixels of a piece have the same share; so the control by chance must be a map of such pieces, too.
    """
    return float(mask[shares >= shares.max() - 1e-12 * np.abs(shares).max()].any())


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


def best_overlap(curves: Float[np.ndarray, "n cuts"]) -> Float[np.ndarray, " n"]:
    """For each of n maps its overlap at the cut that is best for all the others; NaN for a map alone."""
    if len(curves) < 2:
        return np.full(len(curves), np.nan)
    others = (curves.sum(axis=0) - curves) / (len(curves) - 1)
    return curves[np.arange(len(curves)), others.argmax(axis=1)]


def area_under(values: Float[np.ndarray, " steps"]) -> float:
    """The mean height of a curve of a value while pieces are deleted or inserted, relative to its larger end, 0 to 1 of
    which it may leave; the first and last step count half."""
    ends = max(values[0], values[-1])
    return float(np.trapezoid(values, dx=1 / (len(values) - 1)) / ends) if ends > 0 else float("nan")
