"""Semi-NMF beside concepts that are named: directions of given properties first, and the rest learned on what is left.

A property that some samples have is read from a state by a linear probe `w` (ridge regression). Its activation is how
far the reading exceeds that of the samples that lack it,

    v(z) = s · max(0, w·z − t),   t the mean of w·z over the samples that lack the property.

The concept `u`, of norm 1, is the direction in which the states move with it: `Z ≈ 1 μᵀ + V U` by ridge regression over
all named concepts together (the pattern of a linear reading: Haufe et al., NeuroImage 2014). With the directions fixed,
`s ≥ 0` is what fits best, so that activations are lengths along `u`, as those of Semi-NMF are. Then Semi-NMF learns on
`Z − V U`.

Readings tell the property of new samples better than the non-negative lasso on all concepts together does, in which
concepts take activation from each other (`benchmarks/named.py`).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num
from scipy.optimize import nnls

from vitrail.learners.arrays import Array, to_host
from vitrail.learners.base import Learner
from vitrail.learners.codes import code_derivatives, nonnegative_lasso
from vitrail.learners.form import Form
from vitrail.learners.rows import ArrayRows, ChangedRows, Map, Rows, here, minus
from vitrail.learners.semi_nmf import SemiNMF
from vitrail.progress import Progress, silent
from vitrail.scores import linear_probes

_RIDGE = 1.0  # of the squared activations, in the regression of states on them; without it directions are not stable
_SHORTEST = 0.05  # of the length of a concept by itself


@dataclass(frozen=True)
class Named:
    """The concepts of given properties.

    Args:
        probes: for each property the probe `s w` (n_named, n_features).
        thresholds: for each property `s t`.
        directions: the concepts `U` (n_named, n_features), of norm 1.
    """

    probes: Float[np.ndarray, "f d"]
    thresholds: Float[np.ndarray, " f"]
    directions: Float[np.ndarray, "f d"]

    @classmethod
    def fit(cls, Z: Num[np.ndarray, "n d"], has: Bool[np.ndarray, "n f"]) -> Named:
        """The concepts of the properties that the samples with the states `Z` have."""
        Z = Z.astype(np.float64)
        probes = linear_probes(Z, has)[0]
        read = Z @ probes.T
        thresholds = np.array([read[~mine, j].mean() for j, mine in enumerate(has.T)])
        V = np.maximum(0, read - thresholds)
        V -= V.mean(axis=0)
        rest = Z - Z.mean(axis=0)
        gram, gain = V.T @ V, V.T @ rest
        shrunk = gram + np.diag(_RIDGE * np.diag(gram) + np.finfo(float).tiny ** 0.5)  # a probe may read nothing
        directions = np.linalg.solve(shrunk, gain)
        sizes = np.linalg.norm(directions, axis=1, keepdims=True)
        directions /= np.where(sizes > 0, sizes, 1.0)
        lengths = _lengths(gram * (directions @ directions.T), (gain * directions).sum(axis=1))
        return cls(probes * lengths[:, None], thresholds * lengths, directions)

    def activations(self, Z: Num[Array, "n d"]) -> Float[np.ndarray, "n f"]:
        """The activations of states, in float64."""
        return np.maximum(0, np.asarray(to_host(Z)[0], np.float64) @ self.probes.T - self.thresholds)

    def left(self, Z: Num[Array, "n d"]) -> Float[np.ndarray, "n d"]:
        """What the named concepts leave of states."""
        Z = np.asarray(to_host(Z)[0])
        return Z - (self.activations(Z) @ self.directions).astype(Z.dtype)


def _lengths(gram: Float[np.ndarray, "f f"], gain: Float[np.ndarray, " f"]) -> Float[np.ndarray, " f"]:
    """The `s ≥ 0` of least `s G sᵀ − 2 s·g`: how far each concept reaches along its direction beside the others."""
    values, vectors = np.linalg.eigh(gram)
    roots = np.sqrt(np.maximum(values, values[-1] * 1e-12))
    found = nnls(roots[:, None] * vectors.T, (vectors.T @ gain) / roots)[0]
    alone = np.maximum(gain, 0) / np.maximum(np.diag(gram), np.finfo(float).tiny)
    return np.maximum(found, _SHORTEST * alone)  # others may hold all of it: its activations stay, for they tell it


class NamedSemiNMF(Learner):
    """Concepts that are named, then those that Semi-NMF finds in what they leave.

    Args:
        n_components: the number of all concepts, the named ones among them.
        named: the concepts that are named.
        penalty: λ of Semi-NMF, see there; a share of the spread of what is left.
        form: of Semi-NMF.
        random_state: the seed.

    Attributes:
        components_: the concepts `U` (n_components, d): the named ones first.
        probes_: of the named concepts, as are `thresholds_`; see `Named`.
        mean_: the mean of what the named concepts leave; zeros in the paper's form.
        penalty_: λ, times the spread of what is left, or λ in the paper's form.
    """

    title = "Semi-NMF"
    out_of_core = True

    probes_: Float[np.ndarray, "f d"]
    thresholds_: Float[np.ndarray, " f"]
    mean_: Float[np.ndarray, " d"]
    penalty_: float

    def __init__(
        self,
        n_components: int = 20,
        *,
        named: Named | None = None,
        penalty: float | None = None,
        form: Form = "centred",
        random_state: int | None = 0,
    ) -> None:
        self.n_components = n_components
        self.named = named
        self.penalty = penalty
        self.form = form
        self.random_state = random_state

    @classmethod
    def upgraded(cls, params: Mapping[str, Any], fitted: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        probes, thresholds = np.asarray(fitted["probes_"]), np.asarray(fitted["thresholds_"])
        named = Named(probes, thresholds, np.asarray(fitted["components_"], np.float64)[: len(probes)])
        return {**params, "named": named}, dict(fitted)

    @property
    def n_named(self) -> int:
        return len(self._named.directions)

    def moved(self, mean: Float[np.ndarray, " d"]) -> NamedSemiNMF:
        """The same concepts for representations of which `mean` was taken off before these were fitted."""
        own, thresholds = copy.copy(self), self.thresholds_ + self.probes_ @ mean
        own.named, own.thresholds_ = replace(self._named, thresholds=thresholds), thresholds
        own.mean_ = self.mean_ + mean
        return own

    @property
    def intercept(self) -> Float[np.ndarray, " d"] | None:
        return self.mean_ if self.form == "centred" else None

    def fit_rows(self, rows: Rows, over: Map = here, *, progress: Progress = silent) -> NamedSemiNMF:
        """Learns from representations in pieces; see `SemiNMF.fit_rows`.

        Raises:
            ValueError: a parameter is out of range, no concept is named or all are, or there are more concepts than
                samples.
        """
        self._check_rows(rows)
        self.n_features_in_ = rows.n_features
        rest = self._rest()
        self._take(rest.fit_rows(ChangedRows(rows, self._named.left), over, progress=progress))
        return self

    def adopt(self, U: Float[np.ndarray, "k d"], rows: Rows, over: Map = here) -> NamedSemiNMF:
        """Sets the concepts that are found to those of `U` behind the named ones; returns the learner itself."""
        self.n_features_in_ = rows.n_features
        self._take(self._rest().adopt(U[len(self._named.directions) :], ChangedRows(rows, self._named.left), over))
        return self

    @property
    def _named(self) -> Named:
        if self.named is None or not 0 < len(self.named.directions) < self.n_components:
            n = 0 if self.named is None else len(self.named.directions)
            raise ValueError(f"expected 1 to {self.n_components - 1} named concepts of {self.n_components}, got {n}")
        return self.named

    def _rest(self) -> SemiNMF:
        n_found = self.n_components - len(self._named.directions)
        return SemiNMF(n_found, penalty=self.penalty, form=self.form, random_state=self.random_state)

    def _take(self, rest: SemiNMF) -> None:
        """Sets the fitted attributes from those of the concepts that were found."""
        named = self._named
        self.components_ = np.concatenate([named.directions.astype(rest.components_.dtype), rest.components_])
        self.probes_, self.thresholds_ = named.probes, named.thresholds
        self.mean_, self.penalty_ = rest.mean_, rest.penalty_ * rest.spread_

    def _fit(self, Z: Float[np.ndarray, "n d"], progress: Progress) -> None:
        self.fit_rows(ArrayRows(Z), progress=progress)

    def _activate(self, Z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n k"]:
        named = self._named
        left = named.left(Z)
        left = left if self.form == "paper" else minus(left, self.mean_)
        found = nonnegative_lasso(left, self.components_[len(named.directions) :], self.penalty_)
        return np.concatenate([named.activations(Z).astype(Z.dtype), found], axis=1)

    def _derivatives(self, Z: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n k d"]:
        named, n = self._named, len(self._named.directions)
        read = (V[:, :n] > 0)[:, :, None] * named.probes
        found = code_derivatives(self.components_[n:], V[:, n:])
        return np.concatenate([read, found - found @ named.directions.T @ read], axis=1)

    def _reconstruct(self, V: Num[np.ndarray, "n k"]) -> Float[np.ndarray, "n d"]:
        rebuilt = V @ self.components_
        return rebuilt if self.form == "paper" else rebuilt + self.mean_
