"""Options of trials: of a search, of a contest with baselines, of a ranking of fine vectors, of a gallery."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vitrail.lmm.options import PositionName, Positions
from vitrail.options import AtLeast, Count, CountOrNone, Options, Seed
from vitrail.steering.options import Strength


@dataclass(frozen=True)
class SearchOptions(Options):
    """How a search goes.

    Args:
        alphas: the strengths to try.
        budget: the largest cost (`Outcome.cost`) that may be picked.
        positions: where a steering is applied; where it was made for if None.
        batch_size: samples in a batch.
        seed: of the two halves.
        other_weights: try a steering that was made on other weights than the model's.
    """

    alphas: tuple[Strength, ...] = (0.5, 1.0, 1.5, 2.0)
    budget: Annotated[float, AtLeast(0)] = 0.10
    positions: Positions | None = None
    batch_size: Count = 32
    seed: Seed = 0
    other_weights: bool = False


@dataclass(frozen=True)
class ContestOptions(Options):
    """How contenders are made and measured.

    Args:
        alpha: the strength of vectors and L2S.
        positions: where vectors and L2S are applied; where they were made for if None.
        steps: of training LoRA, at most.
        repeats: how often the time of each is taken, in turns; 0 leaves it out.
        batch_size: samples in a batch.
        seed: of everything random.
        other_weights: measure steerings that were made on other weights than the model's.
    """

    alpha: Strength = 1.0
    positions: Positions | None = None
    steps: Count = 60
    repeats: CountOrNone = 0
    batch_size: Count = 32
    seed: Seed = 0
    other_weights: bool = False


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
