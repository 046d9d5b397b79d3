"""Which fine vectors between concepts are tried, and how."""

from __future__ import annotations

from dataclasses import dataclass

from vitrail.lmm.options import PositionName
from vitrail.options import Count, CountOrNone, Options


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
    alpha: float = 1.0
    positions: PositionName = "generated"
    max_new_tokens: Count = 16
    batch_size: Count = 32
