"""All methods by name. A new method is a file of its own and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitrail.errors import UsageError
from vitrail.maps.methods.baselines import projection, rollout
from vitrail.maps.methods.gradients import (
    gradient_of_pixels,
    gradient_of_tokens,
    integrated_of_pixels,
    integrated_of_tokens,
)
from vitrail.maps.methods.occlusion import occlusion
from vitrail.maps.question import Question


@dataclass(frozen=True)
class MapMethod:
    """A method, and the question that its maps answer.

    Args:
        make: gives the maps of a question, (images, targets, height, width) in the coordinates of the images.
        answers: which question a map answers, as a sentence.
    """

    make: Callable[[Question], Float[np.ndarray, "images targets height width"]]
    answers: str


_TOKENS = "Which tokens of the image carry the concept to the word?"
_PICTURE = "Which part of the picture put the concept there, through the vision encoder?"

#: Name → method.
METHODS: dict[str, MapMethod] = {
    "occlusion": MapMethod(occlusion, "By how much does the concept fall where the picture is covered?"),
    "gradient": MapMethod(gradient_of_pixels, _PICTURE),
    "integrated-gradients": MapMethod(integrated_of_pixels, _PICTURE),
    "gradient-tokens": MapMethod(gradient_of_tokens, _TOKENS),
    "integrated-tokens": MapMethod(integrated_of_tokens, _TOKENS),
    "projection": MapMethod(projection, "Which tokens of the image have the concept in their own state?"),
    "rollout": MapMethod(rollout, "Which tokens of the image does the word attend to, whatever the concept?"),
}


def map_method(name: str) -> MapMethod:
    """The method of that name.

    Raises:
        UsageError: there is none; the message names those that exist.
    """
    if name not in METHODS:
        raise UsageError(f"There is no method {name!r} of maps; there are {', '.join(METHODS)}.")
    return METHODS[name]
