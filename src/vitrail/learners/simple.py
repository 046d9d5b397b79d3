"""The baseline without learning: some samples are the concepts."""

import numpy as np

from vitrail.learners.arrays import Floats
from vitrail.learners.base import PrototypeLearner
from vitrail.progress import Progress


class Simple(PrototypeLearner):
    """Concepts are the K rows of `Z` with the largest norm, largest first; activations are `1 / (1 + distance)`.

    The baseline "Simple" of CoX-LMM. Nothing is random; of rows with one norm the earlier goes first.
    `inverse_transform` gives the nearest of the K rows.

    Attributes: `components_` (K, d).
    """

    title = "Simple"

    def __init__(self, n_components: int = 20) -> None:
        self.n_components = n_components

    def _fit(self, Z: Floats, progress: Progress) -> None:
        norms = np.einsum("ij,ij->i", Z, Z, dtype=np.float64)
        self.components_ = Z[np.argsort(-norms, kind="stable")[: self.n_components]]
