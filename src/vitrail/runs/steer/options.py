"""Which fine vectors between concepts are tried, and how; and the page of a steering."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vitrail.lmm.options import PositionName
from vitrail.options import Count, CountOrNone, Options
from vitrail.steering.options import Strength


@dataclass(frozen=True)
class RankOptions(Options):
    """Which fine vectors are tried, and how.

    Args:
        toward: only vectors towards this concept; all for None.
        away: only vectors away from this concept; all for None.
        alpha: the strength.
        positions: where they are added.
        max_new_tokens: the longest text.
        batch_size: samples in a batch.
    """

    toward: CountOrNone | None = None
    away: CountOrNone | None = None
    alpha: Strength = 1.0
    positions: PositionName = "generated"
    max_new_tokens: Count = 16
    batch_size: Count = 32


@dataclass(frozen=True)
class GalleryOptions(Options):
    """The page of texts before and after.

    Args:
        gallery: also write a page of before and after to this file.
        gallery_strengths: strengths of the gallery, beside the one that is applied.
    """

    gallery: Path | None = None
    gallery_strengths: tuple[Strength, ...] = (0.5, 1.0, 1.5, 2.0)
