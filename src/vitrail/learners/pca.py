"""Principal component analysis: the signed baseline of CoX-LMM."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num
from sklearn import decomposition

from vitrail.learners.base import Learner
from vitrail.progress import Progress


class PCA(Learner):
    """PCA (scikit-learn's): concepts are orthonormal directions of largest variance, activations are signed.

    `V = (Z − mean) Uᵀ`, and `inverse_transform` returns `V U + mean`.

    Args:
        n_components: K, at most the number of samples and the number of features.
        random_state: the seed of randomized solvers.

    Attributes:
        components_: the directions (K, d), in order of decreasing variance.
        mean_: the mean of `Z` (d,).
        explained_variance_: the variance along each direction (K,).
    """

    title = "PCA"
    signed = True

    mean_: Float[np.ndarray, " d"]
    explained_variance_: Float[np.ndarray, " k"]

    def __init__(self, n_components: int = 20, *, random_state: int | None = 0) -> None:
        self.n_components = n_components
        self.random_state = random_state

    @property
    def intercept(self) -> Float[np.ndarray, " d"]:
        return self.mean_

    def _fit(self, Z: Float[np.ndarray, "n d"], progress: Progress) -> None:
        with np.errstate(invalid="ignore"):  # for constant data it computes a ratio 0 / 0, which we do not keep
            pca = decomposition.PCA(self.n_components, random_state=self.random_state).fit(Z)
        self.components_ = pca.components_
        self.mean_ = pca.mean_
        self.explained_variance_ = pca.explained_variance_

    def _activate(self, Z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        return (Z.astype(np.float64) - self.mean_) @ self.components_.T

    def _derivatives(self, Z: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k d"]:
        return np.broadcast_to(self.components_.astype(np.float64), (len(Z), *self.components_.shape))

    def _reconstruct(self, V: Num[np.ndarray, "n k"]) -> Float[np.ndarray, "n d"]:
        return V @ self.components_ + self.mean_
