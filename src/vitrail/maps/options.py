"""How maps are made: one value that says all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from vitrail.options import Count, NameIn, Options


@dataclass(frozen=True)
class MapOptions(Options):
    """How maps are made.

    Args:
        method: how the share of a piece of the image is found; docs/maps.md says which question each method answers.
        steps: how many passes a method takes that integrates gradients.
        cells: into how many cells occlusion cuts the longer side of an image.
        batch_size: how many images, or occluded copies of one, go through the model at once.
    """

    method: Annotated[str, NameIn("vitrail.maps.methods.registry:METHODS")] = "integrated-tokens"
    steps: Count = 8
    cells: Count = 8
    batch_size: Count = 16
