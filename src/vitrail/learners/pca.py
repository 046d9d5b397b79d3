"""Principal component analysis: the signed baseline of CoX-LMM."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num
from sklearn import decomposition
from sklearn.utils.extmath import svd_flip

from vitrail.learners.arrays import Array, to_host
from vitrail.learners.base import Learner
from vitrail.learners.rows import ArrayRows, Map, Rows, here
from vitrail.progress import Progress, silent
from vitrail.scores.moments import Covariance


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
    out_of_core = True

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

    def fit_rows(self, rows: Rows, over: Map = here, *, progress: Progress = silent) -> PCA:
        """Learns from representations in pieces, by their covariance, of which one pass makes the sum."""
        if isinstance(rows, ArrayRows):
            return self.fit(rows.Z, progress=progress)
        self._check_rows(rows)
        return self.fit_covariance(_covariance(rows, over))

    def fit_covariance(self, found: Covariance) -> PCA:
        """Learns from what is known of representations that were not kept, as `vitrail.reduce` gives it."""
        self._check(found.n)
        values, vectors = np.linalg.eigh(found.value)
        first = np.argsort(values)[::-1][: self.n_components]
        self.explained_variance_ = np.maximum(values[first], 0)
        return self._adopted(svd_flip(None, vectors.T[first], u_based_decision=False)[1], found)

    def adopt(self, U: Float[np.ndarray, "k d"], rows: Rows, over: Map = here) -> PCA:
        """Takes `U` for the directions, with their variance in `rows`."""
        found = _covariance(rows, over)
        self.explained_variance_ = np.einsum("kd,de,ke->k", U, found.value, U)
        return self._adopted(U, found)

    def _adopted(self, U: Float[np.ndarray, "k d"], found: Covariance) -> PCA:
        self.components_ = np.ascontiguousarray(U)
        self.mean_ = found.mean
        self.n_features_in_ = len(found.mean)
        return self

    def _activate(self, Z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        return (Z.astype(np.float64) - self.mean_) @ self.components_.T

    def _derivatives(self, Z: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k d"]:
        return np.broadcast_to(self.components_.astype(np.float64), (len(Z), *self.components_.shape))

    def _reconstruct(self, V: Num[np.ndarray, "n k"]) -> Float[np.ndarray, "n d"]:
        return V @ self.components_ + self.mean_


def _covariance(rows: Rows, over: Map) -> Covariance:
    """The covariance of representations in pieces, in the order of the pieces."""
    first, *others = over(_of_piece, rows)
    for found in others:
        first = first.merged(found)
    return first


def _of_piece(_: int, Z: Array) -> Covariance:
    return Covariance.of(to_host(Z)[0])
