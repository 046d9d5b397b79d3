"""A baseline that learns nothing: some samples are the concepts."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from vitrail.learners.base import PrototypeLearner
from vitrail.progress import Progress


class Simple(PrototypeLearner):
    """The baseline "Simple" of CoX-LMM: concepts are the K different rows of `Z` with the largest norms, the
    largest first.

    Activations are `1 / (1 + distance)`. `inverse_transform` returns the nearest of the K rows. Nothing is random; of
    rows with the same norm the earlier comes first.

    Args:
        n_components: K.

    Attributes:
        components_: the rows (K, d).
    """

    title = "Simple"

    def __init__(self, n_components: int = 20) -> None:
        self.n_components = n_components

    def _fit(self, Z: Float[np.ndarray, "n d"], progress: Progress) -> None:
        norms = np.einsum("ij,ij->i", Z, Z, dtype=np.float64)
        first = {(Z[i] + 0.0).tobytes(): i for i in reversed(range(len(Z)))}  # of rows that are the same, the first
        different = sorted(first.values(), key=lambda i: (-norms[i], i))
        self.components_ = Z[different[: self.n_components]]
