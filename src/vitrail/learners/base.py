"""The contract of all learners: representations in, concepts and activations out."""

from abc import ABC, abstractmethod
from numbers import Integral
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from vitrail.learners.arrays import Array, Floats, row_blocks, to_host

Self = TypeVar("Self", bound="Learner")


@runtime_checkable
class ConceptLearner(Protocol):
    """What the rest of Vitrail asks of a learner; anything of this shape will do."""

    components_: Floats
    """Concepts `U` (n_concepts, n_features), after `fit`."""

    def fit(self, Z: Array, y: None = None) -> Any:
        """Learns concepts from representations `Z` (n_samples, n_features)."""

    def transform(self, Z: Array) -> Array:
        """Activations `V` (n_samples, n_concepts) of representations `Z`."""

    def inverse_transform(self, V: Array) -> Array:
        """The representations (n_samples, n_features) that activations `V` stand for."""


class Learner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of the learners: checks what comes in, works in row blocks, and gives back numpy for numpy, torch for torch.

    A learner says how it fits, and what float64 rows activate; float16 and integers are learned from as float32, and
    activations have the dtype of `Z` (float32 at least). Every learner takes `n_components`, the number of concepts K.
    """

    n_components: int
    components_: Floats
    n_features_in_: int

    @abstractmethod
    def _fit(self, Z: Floats) -> None:
        """Sets the fitted attributes, `components_` among them, from finite float32 or float64 `Z`."""

    @abstractmethod
    def _activate(self, Z: NDArray[np.float64]) -> NDArray[np.float64]:
        """Activations of a block of rows."""

    @abstractmethod
    def _reconstruct(self, V: Floats) -> Floats:
        """Representations of activations."""

    def fit(self: Self, Z: Array, y: None = None) -> Self:
        """Learns K concepts from `Z` (n_samples, n_features); `y` is ignored, it is there for pipelines.

        Raises ValueError for NaN, infinity, parameters that cannot be, and more concepts than samples.
        """
        Z = validate_data(self, to_host(Z)[0], dtype=[np.float32, np.float64])
        check_count("n_components", self.n_components)
        if self.n_components > len(Z):
            raise ValueError(
                f"cannot learn n_components={self.n_components} concepts from n_samples={len(Z)}: "
                "use fewer concepts or more samples"
            )
        self._fit(Z)
        self.components_ = np.ascontiguousarray(self.components_)  # its layout decides the last bits of products
        return self

    def transform(self, Z: Array) -> Array:
        """Activations `V` (n_samples, K) of `Z` (n_samples, n_features), the same for a row in any batch."""
        check_is_fitted(self)
        host, restore = to_host(Z)
        host = validate_data(self, host, dtype=[np.float32, np.float64], reset=False)
        V = np.empty((len(host), len(self.components_)), dtype=host.dtype)
        for block in row_blocks(*host.shape):
            V[block] = self._activate(host[block].astype(np.float64))
        return restore(V)

    def inverse_transform(self, V: Array) -> Array:
        """The representations (n_samples, n_features) that activations `V` (n_samples, K) stand for."""
        check_is_fitted(self)
        host, restore = to_host(V)
        host = np.asarray(host)
        if host.ndim != 2 or host.shape[1] != len(self.components_):
            raise ValueError(f"expected activations (n_samples, {len(self.components_)}), got shape {host.shape}")
        return restore(self._reconstruct(host))

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


class PrototypeLearner(Learner, ABC):
    """Base of learners whose concepts are points among the data; an activation says how near a sample is to one.

    `v_k = 1 / (1 + ‖z − u_k‖₂)`, in (0, 1], and 1 at the prototype itself. Activations are not coordinates: `V U` means
    nothing here. The model of `z` is its nearest prototype, so that is what `inverse_transform` returns, the first on
    a tie.
    """

    def _activate(self, Z: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 / (1 + cdist(Z, self.components_))  # differences first: exact near a prototype, unlike a Gram matrix

    def _reconstruct(self, V: Floats) -> Floats:
        return self.components_[V.argmax(axis=1)]


def check_count(name: str, value: int) -> None:
    """Raises ValueError unless `value` is a whole number ≥ 1."""
    if not (isinstance(value, Integral) and value >= 1):
        raise ValueError(f"{name} must be a whole number ≥ 1, got {value!r}")
