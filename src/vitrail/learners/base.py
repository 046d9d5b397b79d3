"""The contract of all learners: representations in, concepts and activations out."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from vitrail.learners.arrays import (
    Array,
    Floats,
    device,
    finite,
    floats,
    in_place,
    is_tensor,
    namespace,
    row_blocks,
    to_host,
)
from vitrail.learners.rows import Map, Rows
from vitrail.progress import Progress, silent

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

    A learner says how it fits, and what rows activate; float16 and integers are learned from as float32, and
    activations have the dtype of `Z` (float32 at least). Every learner takes `n_components`, the number of concepts K.
    What is learned is in numpy arrays, wherever `Z` was.
    """

    n_components: int
    components_: Floats
    n_features_in_: int

    title: ClassVar[str]
    """The name in tables and plots."""
    signed: ClassVar[bool] = False
    """Whether activations have a sign, so that a concept and its opposite are the same."""
    prototypes: ClassVar[bool] = False
    """Whether concepts are points among the states; else they are directions that add up."""
    out_of_core: ClassVar[bool] = False
    """Whether the learner fits states that come in pieces (`fit_rows`, `adopt`): from disk, or over many machines."""

    _on_device = False
    """Whether the learner works on tensors of an accelerator where they are; else they are copied to the host."""

    @abstractmethod
    def _fit(self, Z: Array, progress: Progress) -> Array | None:
        """Sets the fitted attributes, `components_` among them, from finite float32 or float64 `Z`.

        Returns the activations of `Z`, where they are at hand.
        """

    @abstractmethod
    def _activate(self, Z: Array) -> Array:
        """Activations of a block of float32 or float64 rows."""

    @abstractmethod
    def _reconstruct(self, V: Floats) -> Floats:
        """Representations of activations."""

    def fit(self: Self, Z: Array, y: None = None, *, progress: Progress = silent) -> Self:
        """Learns K concepts from `Z` (n_samples, n_features); `y` is ignored, it is there for pipelines.

        Raises ValueError for NaN, infinity, parameters that cannot be, and more concepts than samples.
        """
        self._fit_checked(Z, progress)
        return self

    def fit_transform(self, Z: Array, y: None = None, *, progress: Progress = silent) -> Array:
        """`fit(Z).transform(Z)`, at the price of `fit` where that has the activations at hand."""
        V = self._fit_checked(Z, progress)
        return self.transform(Z) if V is None else in_place(Z)[1](V)

    def _fit_checked(self, Z: Array, progress: Progress) -> Array | None:
        rows = self._validated(Z, reset=True)[0]
        self._check(len(rows))
        V = self._fit(rows, progress)
        self.components_ = np.ascontiguousarray(self.components_)  # its layout decides the last bits of products
        return V

    def _check(self, n_samples: int) -> None:
        """Raises ValueError for parameters that cannot be."""
        check_count("n_components", self.n_components)
        if self.n_components > n_samples:
            raise ValueError(
                f"cannot learn n_components={self.n_components} concepts from n_samples={n_samples}: "
                "use fewer concepts or more samples"
            )

    def transform(self, Z: Array) -> Array:
        """Activations `V` (n_samples, K) of `Z` (n_samples, n_features), the same for a row in any batch."""
        check_is_fitted(self)
        rows, restore = self._validated(Z, reset=False)
        xp = namespace(rows)
        V = xp.empty((len(rows), len(self.components_)), dtype=rows.dtype, device=device(rows))
        for block in row_blocks(*rows.shape):
            V[block] = self._activate(rows[block])
        return restore(V)

    def _validated(self, Z: Array, reset: bool) -> tuple[Array, Callable[[Array], Array]]:
        """Finite float32 or float64 rows where they are worked on, and the way back to the caller's kind."""
        rows, restore = in_place(Z) if self._on_device else to_host(Z)
        if not is_tensor(rows):
            return validate_data(self, rows, dtype=[np.float32, np.float64], reset=reset), restore
        validate_data(self, np.broadcast_to(np.float32(0), rows.shape), reset=reset)  # shape and width
        rows = floats(rows)
        if not finite(rows):
            raise ValueError("Input Z contains NaN or infinity.")
        return rows, restore

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


class PieceLearner(Protocol):
    """What a learner with `out_of_core` can do beside the contract of all learners."""

    def fit_rows(self, rows: Rows, over: Map, *, progress: Progress = silent) -> Any:
        """Learns from representations in pieces; `over` maps a function over the pieces."""

    def adopt(self, U: Array, rows: Rows, over: Map) -> Any:
        """Takes the concepts `U` (n_concepts, n_features) for its own, and fits what else there is to them."""


class PrototypeLearner(Learner, ABC):
    """Base of learners whose concepts are points among the data. An activation is the nearness of a sample to one.

    `v_k = 1 / (1 + ‖z − u_k‖₂)`, in (0, 1], and 1 at the prototype itself. Activations are not coordinates: `V U` means
    nothing here. The model of `z` is its nearest prototype, so that is what `inverse_transform` returns, the first on
    a tie.
    """

    prototypes = True

    def _activate(self, Z: Floats) -> Floats:
        return 1 / (1 + cdist(Z, self.components_))  # differences first: exact near a prototype, unlike a Gram matrix

    def _reconstruct(self, V: Floats) -> Floats:
        return self.components_[V.argmax(axis=1)]


def check_count(name: str, value: int) -> None:
    """Raises ValueError unless `value` is a whole number ≥ 1."""
    if not (isinstance(value, Integral) and value >= 1):
        raise ValueError(f"{name} must be a whole number ≥ 1, got {value!r}")
