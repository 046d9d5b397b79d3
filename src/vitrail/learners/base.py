"""The contract of all learners: representations in, concepts and activations out.

The methods that users call take whatever numpy can read, as scikit-learn's estimators do, and check it themselves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float, Num
from scipy.spatial.distance import cdist
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from vitrail.learners.arrays import (
    Array,
    device,
    dtype_of,
    finite,
    floats,
    in_place,
    is_tensor,
    namespace,
    row_blocks,
    to_host,
)
from vitrail.learners.rows import ArrayRows, Map, Rows, count_different
from vitrail.progress import Progress, silent

Self = TypeVar("Self", bound="Learner")


@runtime_checkable
class ConceptLearner(Protocol):
    """The least that the rest of Vitrail needs of a learner; any object with these members will do."""

    components_: Float[np.ndarray, "k d"]
    """The concepts `U`, after `fit`."""

    def fit(self, Z: Num[Array, "n d"], y: None = None) -> Any:
        """Learns concepts from the representations `Z`."""

    def transform(self, Z: Num[Array, "n d"]) -> Float[Array, "n k"]:
        """The activations `V` of the representations `Z`."""

    def inverse_transform(self, V: Num[Array, "n k"]) -> Float[Array, "n d"]:
        """The representations that the activations `V` describe."""


class Learner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of the learners. It checks input, computes in blocks of rows, and returns numpy for numpy, torch for torch.

    A learner adds how to fit (`_fit`), the activations of rows (`_activate`), their derivatives (`_derivatives`) and
    their reconstruction (`_reconstruct`).
    Its constructor takes `n_components`, the number of concepts K. Its fitted attributes are numpy arrays, whatever
    `Z` was; each is annotated in the class, and its name ends in an underscore.

    float16 and integers are converted to float32 before learning. Activations have the dtype of `Z`, at least float32.
    """

    n_components: int
    components_: Float[np.ndarray, "k d"]
    n_features_in_: int

    title: ClassVar[str]
    """The name in tables and plots."""
    signed: ClassVar[bool] = False
    """Whether activations may be negative, so that a concept and its opposite are the same."""
    prototypes: ClassVar[bool] = False
    """Whether concepts are points among the states; otherwise they are directions that add up."""
    out_of_core: ClassVar[bool] = False
    """Whether the learner can fit states in pieces, from disk or on many machines: it then is a `PieceLearner`, too."""

    @property
    def intercept(self) -> Float[np.ndarray, " d"] | None:
        """What every reconstruction begins with, the mean of the states; None where concepts stand alone."""
        return None

    @property
    def n_named(self) -> int:
        """How many of the concepts are named: the first ones. The others are found."""
        return 0

    _on_device = False
    """Whether the learner computes on an accelerator if `Z` lies there; otherwise `Z` is copied to the host."""

    @classmethod
    def upgraded(cls, params: Mapping[str, Any], fitted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What an earlier version saved, parameters and fitted values, in the terms of this one, with its meaning."""
        return dict(params), dict(fitted)

    @abstractmethod
    def _fit(self, Z: Float[Array, "n d"], progress: Progress) -> Float[Array, "n k"] | None:
        """Sets the fitted attributes, `components_` among them, from `Z`, which is finite float32 or float64.

        Returns the activations of `Z`, or None if fitting does not compute them.
        """

    @abstractmethod
    def _activate(self, Z: Float[Array, "n d"]) -> Float[Array, "n k"]:
        """The activations of a block of rows, which are finite float32 or float64."""

    @abstractmethod
    def _derivatives(self, Z: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k d"]:
        """How the activations `V` of `Z` change with `Z`, in float64."""

    @abstractmethod
    def _reconstruct(self, V: Num[np.ndarray, "n k"]) -> Float[np.ndarray, "n d"]:
        """The representations that the activations `V` describe."""

    def fit(self: Self, Z: Num[Array, "n d"], y: None = None, *, progress: Progress = silent) -> Self:
        """Learns K concepts from `Z`, and returns the learner itself; `y` is ignored, as pipelines expect.

        Raises:
            ValueError: `Z` holds NaN or infinity or values whose squares its dtype cannot hold, a parameter is out of
                range, or there are more concepts than different samples.
        """
        self._fit_checked(Z, progress)
        return self

    def fit_transform(
        self, Z: Num[Array, "n d"], y: None = None, *, progress: Progress = silent
    ) -> Float[Array, "n k"]:
        """`fit(Z).transform(Z)`, in less time where fitting computes the activations anyway.

        Raises:
            ValueError: as `fit`.
        """
        V = self._fit_checked(Z, progress)
        return self.transform(Z) if V is None else in_place(Z)[1](V)

    def _fit_checked(self, Z: Array, progress: Progress) -> Array | None:
        rows = self._validated(Z, reset=True)[0]
        self._check_rows(ArrayRows(rows))
        largest = float(namespace(rows).max(namespace(rows).abs(rows)))
        check_squares(largest * rows.shape[1] ** 0.5, len(rows), dtype_of(rows))
        V = self._fit(rows, progress)
        self.components_ = np.ascontiguousarray(self.components_)  # its layout decides the last bits of products
        return V

    def _check(self, n_samples: int) -> None:
        """Raises ValueError for a parameter that is out of range."""
        check_count("n_components", self.n_components)
        if self.n_components > n_samples:
            raise ValueError(
                f"cannot learn n_components={self.n_components} concepts from n_samples={n_samples}: "
                "use fewer concepts or more samples"
            )

    def _check_rows(self, rows: Rows) -> None:
        """Raises ValueError for a parameter that is out of range, or more concepts than there are different samples."""
        n = sum(rows.lengths)
        self._check(n)
        different = count_different(rows, self.n_components)
        if different < self.n_components:
            raise ValueError(
                f"cannot learn n_components={self.n_components} concepts from n_samples={n}, of which {different} "
                "differ from each other: use fewer concepts or other samples"
            )

    def transform(self, Z: Num[Array, "n d"]) -> Float[Array, "n k"]:
        """The activations `V` of `Z`; those of a row do not depend on the other rows.

        Raises:
            ValueError: `Z` holds NaN or infinity, or has another number of features than the learner was fitted to.
            NotFittedError: the learner is not fitted.
        """
        check_is_fitted(self)
        rows, restore = self._validated(Z, reset=False)
        xp = namespace(rows)
        V = xp.empty((len(rows), len(self.components_)), dtype=rows.dtype, device=device(rows))
        for block in row_blocks(*rows.shape):
            V[block] = self._activate(rows[block])
        return restore(V)

    def _validated(self, Z: Array, reset: bool) -> tuple[Array, Callable[[Array], Array]]:
        """Finite float32 or float64 rows to compute on, and a function that returns results in the caller's kind."""
        rows, restore = in_place(Z) if self._on_device else to_host(Z)
        if not is_tensor(rows):
            return validate_data(self, rows, dtype=[np.float32, np.float64], reset=reset), restore
        validate_data(self, np.broadcast_to(np.float32(0), rows.shape), reset=reset)  # shape and width
        rows = floats(rows)
        if not finite(rows):
            raise ValueError("Input Z contains NaN or infinity.")
        return rows, restore

    def derivatives(self, Z: Num[np.ndarray, "n d"]) -> Float[np.ndarray, "n k d"]:
        """`∂v_k/∂z` of the activations of `Z`, in float64: the exact gradient of each, 0 where it is 0 and stays so.

        Raises:
            ValueError: `Z` holds NaN or infinity, or has another number of features than the learner was fitted to.
            NotFittedError: the learner is not fitted.
        """
        V = np.asarray(self.transform(Z))
        return self._derivatives(np.asarray(Z, np.float64), V)

    def inverse_transform(self, V: Num[Array, "n k"]) -> Float[Array, "n d"]:
        """The representations that the activations `V` describe.

        Raises:
            ValueError: `V` has another shape than (n_samples, K).
            NotFittedError: the learner is not fitted.
        """
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


@runtime_checkable
class PieceLearner(Protocol):
    """What a learner with `out_of_core` can do in addition."""

    def fit_rows(self, rows: Rows, over: Map, *, progress: Progress = silent) -> Any:
        """Learns from representations in pieces; `over` applies a function to every piece."""

    def adopt(self, U: Float[np.ndarray, "k d"], rows: Rows, over: Map) -> Any:
        """Sets the concepts to `U`, and fits its other attributes to them and `rows`."""


class PrototypeLearner(Learner, ABC):
    """Base of learners whose concepts are points among the states (prototypes).

    The activation of a prototype says how near a sample is: `v_k = 1 / (1 + ‖z − u_k‖₂)`, in (0, 1], and 1 at the
    prototype itself. Activations are not coordinates: `V U` has no meaning. `inverse_transform` returns the nearest
    prototype, the first of several that are equally near.
    """

    prototypes = True

    def _activate(self, Z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        return 1 / (1 + cdist(Z, self.components_))  # differences first: exact near a prototype, unlike a Gram matrix

    def _derivatives(self, Z: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k d"]:
        away = Z[:, None] - self.components_
        distances = np.linalg.norm(away, axis=2, keepdims=True)
        return -away / ((1 + distances) ** 2 * np.where(distances > 0, distances, np.inf))

    def _reconstruct(self, V: Num[np.ndarray, "n k"]) -> Float[np.ndarray, "n d"]:
        return self.components_[V.argmax(axis=1)]


def check_count(name: str, value: int) -> None:
    """Raises ValueError if `value` is no whole number, or less than 1; the message names the parameter `name`."""
    if isinstance(value, bool) or not (isinstance(value, Integral) and value >= 1):
        raise ValueError(f"{name} must be a whole number ≥ 1, got {value!r}")


def check_squares(norm: float, n: int, dtype: np.dtype) -> None:
    """Raises ValueError unless `dtype` can hold the sum of the squares of `n` rows, of which `norm` is the largest norm
    (or at least as large), and tell it from 0."""
    limits = np.finfo(dtype)
    size = None
    if norm > (float(limits.max) / (4 * n)) ** 0.5:
        size = "large"
    elif 0 < norm < (float(limits.tiny) / float(limits.eps)) ** 0.5:
        size = "small"
    if size is not None:
        raise ValueError(f"values so {size} (norms of {norm:.0e}) that {dtype} cannot hold their squares: scale them")
