"""How a lens is fitted: one value, kept in its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vitrail.errors import UsageError
from vitrail.lmm.options import Layer
from vitrail.options import Count, CountOrNone, Options, Seed

LensMethod = Literal["jacobian", "regression"]


@dataclass(frozen=True)
class LensOptions(Options):
    """How a lens is fitted.

    Args:
        layers: whose states it maps to the last block: any of 0 (embeddings), 1..N−1 or −N..−2.
        method: of the map at the positions of the text. "regression" is the least squares of last states on those of
            the layer, as of a tuned lens (Belrose et al. 2023); "jacobian" the mean derivative of the last state by the
            layer's. The map of the image's tokens is a mean derivative with both.
        rows: how many rows of each sample's Jacobian are computed, drawn anew for each sample; all of them where the
            model has no more features. The time grows with them, the error falls with their root. 0 for a regression
            without a map of the image's tokens, which takes no time.
        max_new_tokens: longest generated text, in tokens.
        batch_size: samples per batch, halved when memory runs out.
        seed: of the rows and positions that are drawn.
    """

    layers: tuple[Layer, ...]
    method: LensMethod = "regression"
    rows: CountOrNone = 64
    max_new_tokens: Count = 40
    batch_size: Count = 32
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method == "jacobian" and self.rows == 0:
            raise UsageError("A Jacobian needs rows; got 0. Leave rows out, or choose the method regression.")
