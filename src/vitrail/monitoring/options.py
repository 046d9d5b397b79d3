"""How a model is watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vitrail.options import Count, Options


@dataclass(frozen=True)
class MonitorOptions(Options):
    """How a model is watched.

    Args:
        text: whether observations keep what was said.
        images: whether observations keep thumbnails of the images that `about` was told.
        every: how many observations are worked out together and given to the sinks; those left over follow at the end,
            or when `flush` is called. One at a time costs many times as much.
        on_error: "raise" ends the user's call of `generate` when an answer cannot be followed or a sink fails; "log"
            logs the error, counts it, and lets the call go on, as a service wants it.
        another_model: whether the model may be another one than the studies were made with (a fine-tune, another
            precision), of the same width and number of blocks.
    """

    text: bool = True
    images: bool = True
    every: Count = 64
    on_error: Literal["raise", "log"] = "raise"
    another_model: bool = False
