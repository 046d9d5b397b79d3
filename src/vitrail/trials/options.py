"""How a search over layers and strengths goes, and how steerings are compared with baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from vitrail.lmm.options import Positions
from vitrail.options import AtLeast, Count, CountOrNone, Options
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
    """

    alphas: tuple[Strength, ...] = (0.5, 1.0, 1.5, 2.0)
    budget: Annotated[float, AtLeast(0)] = 0.10
    positions: Positions | None = None
    batch_size: Count = 32
    seed: int = 0


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
    """

    alpha: Strength = 1.0
    positions: Positions | None = None
    steps: Count = 60
    repeats: CountOrNone = 0
    batch_size: Count = 32
    seed: int = 0
