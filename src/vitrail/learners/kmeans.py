"""k-means: concepts are cluster centres, as in the representation-shift paper (Khayatan et al., ICCV 2025)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from sklearn import cluster

from vitrail.learners.base import PrototypeLearner, check_count
from vitrail.progress import Progress


class KMeans(PrototypeLearner):
    """k-means: concepts are the K centroids, activations are `1 / (1 + distance)`.

    `inverse_transform` returns the nearest centroid.

    Args:
        n_components: K.
        n_init: how many seeded k-means++ starts there are; the best is kept.
        random_state: the seed.

    Attributes:
        components_: the centroids (K, d).
        inertia_: the sum of squared distances of samples to their centroids.
    """

    title = "k-means"

    inertia_: float

    def __init__(self, n_components: int = 20, *, n_init: int = 20, random_state: int | None = 0) -> None:
        self.n_components = n_components
        self.n_init = n_init
        self.random_state = random_state

    def _fit(self, Z: Float[np.ndarray, "n d"], progress: Progress) -> None:
        check_count("n_init", self.n_init)
        kmeans = cluster.KMeans(self.n_components, n_init=self.n_init, random_state=self.random_state).fit(Z)
        self.components_ = kmeans.cluster_centers_
        self.inertia_ = float(kmeans.inertia_)
