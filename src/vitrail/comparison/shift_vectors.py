"""Shifts: how the samples of a concept moved from one model to another (Khayatan et al., ICCV 2025). Pure functions.

States of the same `n` samples in model *a* and in model *b* are the rows of `A` and `B` (n, d); `V` (n, K) are the
activations of *a*'s concepts `U` (K, d) in `A`. The paper's definitions:

    A_k = { m : k = argmax_i |v_mi| }      δ_m = b_m − a_m      Δ_k = mean_{m ∈ A_k} δ_m      u_k^s = u_k + α Δ_k

That is for prototypes: a centroid is a state, and moves as states do. An atom of a dictionary is not a state but what
a state changes by when the concept's code grows by one. `by_codes` has the definition for it, and `docs/shift.md` the
derivation.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from scipy.stats import trim_mean

from vitrail import scores
from vitrail.errors import UsageError

#: How the moves of a concept's samples become one shift.
Estimator = Literal["mean", "median", "trimmed", "codes"]
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
#: Of the moves of a concept, `trimmed` leaves out this share at either end, in every feature.
TRIM = 0.1


def members(V: np.ndarray) -> np.ndarray:
    """(n,) int: the concept `k` of whose `A_k` each sample is a member, `argmax_k |v_mk|`; −1 where all are zero.

    >>> members(np.array([[0.1, -2.0], [3.0, 0.0], [0.0, 0.0]])).tolist()
    [1, 0, -1]
    """
    size = np.abs(V)
    return np.where(size.max(axis=1) > 0, size.argmax(axis=1), -1)


def sizes(V: np.ndarray) -> np.ndarray:
    """(K,) int: how many samples `A_k` has."""
    owner = members(V)
    return np.bincount(owner[owner >= 0], minlength=V.shape[1])


def shifts(D: np.ndarray, V: np.ndarray, estimate: Estimator = "mean") -> np.ndarray:
    """(K, d) float64: the shift `Δ_k` of every concept from the moves `D = B − A` (n, d); zero without samples.

    Args:
        estimate: "mean" as published; "median" and "trimmed" of each feature over `A_k`, against outliers; "codes" for
            the atoms of a dictionary, see `by_codes`.

    Raises:
        UsageError: no such estimate.
    """
    if estimate not in ESTIMATORS:
        raise UsageError(f"A shift is estimated by {', '.join(ESTIMATORS)}; got {estimate!r}.")
    if len(D) != len(V):
        raise ValueError(f"expected activations of {len(D)} samples, got {len(V)}")
    D = np.asarray(D, np.float64)
    if estimate == "codes":
        return by_codes(D, V)
    average = {
        "mean": lambda d: d.mean(0),
        "median": lambda d: np.median(d, 0),
        "trimmed": lambda d: trim_mean(d, TRIM),
    }
    owner = members(V)
    found = np.zeros((V.shape[1], D.shape[1]))
    for k in np.unique(owner[owner >= 0]):
        found[k] = average[estimate](D[owner == k])
    return found


def by_codes(D: np.ndarray, V: np.ndarray) -> np.ndarray:
    """(K, d): the moves of the atoms that explain the moves of the samples, the codes being as they were:

        Δ = argmin_Δ ‖D − V Δ‖²_F = V⁺ D

    Where `A = V U` and `B = V U'`, it is `U' − U` exactly. What no move of the atoms explains is left out. Where codes
    do not tell atoms apart, the shortest moves are taken; an atom without codes does not move.
    """
    return np.linalg.lstsq(np.asarray(V, np.float64), np.asarray(D, np.float64), rcond=1e-6)[0]


def consistency(D: np.ndarray, V: np.ndarray) -> np.ndarray:
    """(K,): `mean_{m ∈ A_k} cos(δ_m, Δ_k)` with the published `Δ_k`: 1 where all samples of a concept move alike; NaN
    without samples."""
    return _per_concept(D, V, lambda moves: float(scores.cosines(moves, moves.mean(0, keepdims=True)).mean()), least=1)


def pairwise_consistency(D: np.ndarray, V: np.ndarray) -> np.ndarray:
    """(K,): the mean cosine between the moves of two different samples of `A_k`; NaN for fewer than two.

    Unlike `consistency` it does not grow by itself when there are few samples: of random moves it is 0.
    """

    def mean_pair(moves: np.ndarray) -> float:
        directions = scores.unit(moves)
        n, total = len(moves), float(np.square(directions.sum(0)).sum())
        return (total - float(np.square(directions).sum())) / (n * (n - 1))

    return _per_concept(D, V, mean_pair, least=2)


def magnitude(D: np.ndarray, V: np.ndarray) -> np.ndarray:
    """(K,): `‖Δ_k‖` of the published `Δ_k`; NaN without samples."""
    return _per_concept(D, V, lambda moves: float(np.linalg.norm(moves.mean(0))), least=1)


def _per_concept(D: np.ndarray, V: np.ndarray, measure, least: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    D, owner = np.asarray(D, np.float64), members(V)
    groups = [D[owner == k] for k in range(V.shape[1])]
    return np.array([measure(moves) if len(moves) >= least else np.nan for moves in groups])
