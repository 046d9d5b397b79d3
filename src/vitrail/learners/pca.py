"""Principal component analysis: the signed baseline of CoX-LMM."""

import numpy as np
from sklearn import decomposition

from vitrail.learners.arrays import Floats
from vitrail.learners.base import Learner
from vitrail.progress import Progress


class PCA(Learner):
    """Concepts are orthonormal directions of largest variance; activations are signed, `V = (Z − mean) Uᵀ`.

    scikit-learn's PCA under the contract of our learners. `inverse_transform` gives `V U + mean`.

    Attributes: `components_` (K, d), by falling variance; `mean_` (d,); `explained_variance_` (K,).
    K may not exceed the number of features either.
    """

    title = "PCA"
    signed = True

    mean_: Floats
    explained_variance_: Floats

    def __init__(self, n_components: int = 20, *, random_state: int | None = 0) -> None:
        self.n_components = n_components
        self.random_state = random_state

    def _fit(self, Z: Floats, progress: Progress) -> None:
        with np.errstate(invalid="ignore"):  # constant data: a ratio 0 / 0 that we do not keep
            pca = decomposition.PCA(self.n_components, random_state=self.random_state).fit(Z)
        self.components_ = pca.components_
        self.mean_ = pca.mean_
        self.explained_variance_ = pca.explained_variance_

    def _activate(self, Z: Floats) -> Floats:
        return (Z.astype(np.float64) - self.mean_) @ self.components_.T

    def _reconstruct(self, V: Floats) -> Floats:
        return V @ self.components_ + self.mean_
