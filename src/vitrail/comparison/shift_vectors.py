"""Shifts: how the samples of a concept moved from one model to another (Khayatan et al., ICCV 2025). Pure functions.

States of the same `n` samples in model *a* and in model *b* are the rows of `A` and `B` (n, d); `V` (n, K) are the
activations of *a*'s concepts `U` (K, d) in `A`, comparable between concepts (`Concepts.comparable`). The paper's
definitions:

    A_k = { m : k = argmax_i |v_mi| }      δ_m = b_m − a_m      Δ_k = mean_{m ∈ A_k} δ_m      u_k^s = u_k + α Δ_k

They hold for prototypes: a centroid is a state, and moves as states do. An atom of a dictionary is no state: it is the
change of a state when the atom's code grows by one. `least_squares_shifts` defines its shift; `docs/shift.md` has the
derivation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import trim_mean

from vitrail import scores
from vitrail.comparison.options import ShiftEstimator
from vitrail.errors import UsageError
from vitrail.scores import members

#: "trimmed" leaves out this share of a concept's moves at either end, in every feature.
TRIM = 0.1


def n_members(V: Float[np.ndarray, "n k"]) -> Int[np.ndarray, " k"]:
    """How many samples `A_k` has, for every concept."""
    owner = members(V)
    return np.bincount(owner[owner >= 0], minlength=V.shape[1])


def shifts(
    D: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"], estimator: ShiftEstimator = "mean"
) -> Float[np.ndarray, "k d"]:
    """The shift `Δ_k` of every concept, float64; zero for a concept without samples.

    Args:
        D: the moves `B − A` of the samples; for "codes" without the move of the mean, where it is a row of its own.
        V: their activations in *a*; for "codes" those of the model `A = 1 μᵀ + V U`, in its units.
        estimator: "mean" is the published one; "median" and "trimmed" average each feature over `A_k` and resist
            outliers; "codes" is for the atoms of a dictionary, see `least_squares_shifts`.

    Raises:
        UsageError: no such estimator.
        ValueError: `D` and `V` have different numbers of samples.
    """
    check_estimator(estimator)
    if len(D) != len(V):
        raise ValueError(f"expected activations of {len(D)} samples, got {len(V)}")
    D = np.asarray(D, np.float64)
    if estimator == "codes":
        return least_squares_shifts(D, V)
    average: Callable[[np.ndarray], np.ndarray] = {
        "mean": lambda d: d.mean(0),
        "median": lambda d: np.median(d, 0),
        "trimmed": lambda d: trim_mean(d, TRIM),
    }[estimator]
    owner = members(V)
    found = np.zeros((V.shape[1], D.shape[1]))
    for k in np.unique(owner[owner >= 0]):
        found[k] = average(D[owner == k])
    return found


def move_of_mean(
    a: Float[np.ndarray, " d"] | None, b: Float[np.ndarray, " d"] | None, d: int
) -> Float[np.ndarray, " d"]:
    """How the mean of `d` features moved from *a* to *b*, float64; zeros where it is no row of its own (None)."""
    return np.zeros(d) if a is None or b is None else np.subtract(b, a, dtype=np.float64)


def check_estimator(estimator: str) -> None:
    """Raises `UsageError` unless there is such an estimator."""
    known = get_args(ShiftEstimator)
    if estimator not in known:
        raise UsageError(f"A shift is estimated by {', '.join(known)}; got {estimator!r}.")


def least_squares_shifts(D: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "k d"]:
    """The moves of the atoms that best explain the moves `D` of the samples, while the codes `V` stay as they are:

        Δ = argmin_Δ ‖D − V Δ‖²_F = V⁺ D

    Where `A = V U` and `B = V U'`, this is `U' − U` exactly. What no move of the atoms explains is left out. Where the
    codes cannot separate two atoms, the shortest moves are taken; an atom without codes does not move.
    """
    return np.linalg.lstsq(np.asarray(V, np.float64), np.asarray(D, np.float64), rcond=1e-6)[0]


def consistency(D: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """`mean_{m ∈ A_k} cos(δ_m, Δ_k)` with the published `Δ_k`: 1 where all samples of a concept move in one direction;
    NaN without samples."""
    return _per_concept(D, V, lambda moves: float(scores.cosines(moves, moves.mean(0, keepdims=True)).mean()), least=1)


def pairwise_consistency(D: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """The mean cosine between the moves of two different samples of `A_k`; NaN for fewer than two samples.

    Its expected value for random moves is 0, however few the samples are; that of `consistency` is not.
    """

    def mean_pair(moves: np.ndarray) -> float:
        directions = scores.unit(moves)
        n, total = len(moves), float(np.square(directions.sum(0)).sum())
        return (total - float(np.square(directions).sum())) / (n * (n - 1))

    return _per_concept(D, V, mean_pair, least=2)


def magnitude(D: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """`‖Δ_k‖` of the published `Δ_k`; NaN without samples."""
    return _per_concept(D, V, lambda moves: float(np.linalg.norm(moves.mean(0))), least=1)


def _per_concept(D: np.ndarray, V: np.ndarray, measure: Callable[[np.ndarray], float], least: int) -> np.ndarray:
    """(K,): `measure` of the moves of each `A_k`; NaN where it has fewer than `least` samples."""
    D, owner = np.asarray(D, np.float64), members(V)
    groups = [D[owner == k] for k in range(V.shape[1])]
    return np.array([measure(moves) if len(moves) >= least else np.nan for moves in groups])
