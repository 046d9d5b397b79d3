"""Scores of a dictionary: its concepts `U` (n_concepts, n_features), its activations `V` (n_samples, n_concepts)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Real
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from vitrail.scores.intervals import Estimate


def cosines(A: Real[np.ndarray, "n d"], B: Real[np.ndarray, "m d"]) -> Float[np.ndarray, "n m"]:
    """The cosine of every row of `A` with every row of `B`, in float64; 0 where a row is zero.

    >>> cosines(np.array([[2.0, 0.0], [0.0, 0.0]]), np.array([[3.0, 4.0]])).tolist()
    [[0.6], [0.0]]
    """
    return unit(A) @ unit(B).T


def unit(U: Real[np.ndarray, "k d"]) -> Float[np.ndarray, "k d"]:
    """The rows of `U` scaled to norm 1, in float64; zero rows stay zero."""
    U = np.asarray(U, np.float64)
    norms = np.linalg.norm(U, axis=1, keepdims=True)
    return U / np.where(norms > 0, norms, 1.0)


def pairwise_cosine(U: Real[np.ndarray, "k d"]) -> Float[np.ndarray, " k"]:
    """For each concept, its mean |cos| with the other concepts: 0 if orthogonal, 1 if all are the same.

    A single concept has 0.
    """
    k = len(U)
    if k < 2:
        return np.zeros(k)
    matrix = np.abs(cosines(U, U))
    return (matrix.sum(axis=1) - np.diag(matrix)) / (k - 1)


def explained_variance(
    Z: Real[np.ndarray, "n d"],
    reconstructed: Real[np.ndarray, "n d"],
    mean: Real[np.ndarray, " d"],
    seed: int = 0,
    resamples: int = 1000,
) -> Estimate:
    """`1 − ‖Z − Ẑ‖² / ‖Z − mean‖²`, with its 95 % bootstrap interval over samples.

    Args:
        Z: the states.
        reconstructed: their reconstructions `Ẑ`.
        mean: the mean of the states that the dictionary was learned from. Held-out states are thus not measured against
            their own mean, which the dictionary cannot know.
        seed: of the bootstrap.
        resamples: how many the bootstrap draws.

    Returns:
        `std` is NaN, since a single sample has no explained variance. All figures are NaN where `Z` has no variance.
    """
    Z = Z.astype(np.float64)
    total = np.sum((Z - mean) ** 2, axis=1)
    residual = np.sum((Z - reconstructed) ** 2, axis=1)
    if not total.sum() > 0:
        return Estimate(np.nan, np.nan, np.nan, np.nan, len(Z))
    picks = np.random.default_rng(seed).integers(0, len(Z), (resamples, len(Z)))
    totals = total[picks].sum(axis=1)
    again = 1 - residual[picks].sum(axis=1) / np.where(totals > 0, totals, np.nan)
    low, high = np.nanquantile(again, [0.025, 0.975])
    return Estimate(float(1 - residual.sum() / total.sum()), np.nan, float(low), float(high), len(Z))


def l0(V: Real[np.ndarray, "n k"]) -> Int[np.ndarray, " n"]:
    """For each sample, how many concepts are active: how many activations are not zero."""
    return np.sum(V != 0, axis=1)


def hoyer(V: Real[np.ndarray, "n k"]) -> Float[np.ndarray, " n"]:
    """For each sample, the sparsity of its activations, `(√K − ‖v‖₁/‖v‖₂) / (√K − 1)` (Hoyer 2004, section 3.1).

    0: all concepts are equally active; 1: a single one is. NaN for a sample that activates nothing, and for a
    dictionary with a single concept.

    >>> hoyer(np.array([[1.0, 1.0], [0.0, 3.0]])).tolist()
    [0.0, 1.0]
    """
    V = np.abs(V, dtype=np.float64)
    k = V.shape[1]
    squares = np.sum(V**2, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(V.sum(axis=1) ** 2 / squares)  # ‖v‖₁/‖v‖₂ with one root: exactly √K where all are equal
        value = (np.sqrt(k) - ratio) / (np.sqrt(k) - 1)
    return np.where((squares > 0) & (k > 1), value, np.nan)


def dead(V: Real[np.ndarray, "n k"]) -> Bool[np.ndarray, " k"]:
    """For each concept, whether no sample activates it."""
    return ~np.any(V != 0, axis=0)


def equal(U: Real[np.ndarray, "k d"]) -> int:
    """How many concepts are the same as an earlier one, up to rounding: no further apart than 10⁻⁵ of their norm.

    >>> equal(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1e-9]]))
    1
    """
    U = np.asarray(U, np.float64)
    norms = np.linalg.norm(U, axis=1)
    near = cdist(U, U) <= 1e-5 * np.maximum(norms[:, None], norms)
    return int(np.tril(near, -1).any(axis=1).sum())


def members(V: Real[np.ndarray, "n k"]) -> Int[np.ndarray, " n"]:
    """The concept *k* whose `A_k` each sample belongs to, `argmax_k |v_mk|`; −1 where all activations are zero.

    >>> members(np.array([[0.1, -2.0], [3.0, 0.0], [0.0, 0.0]])).tolist()
    [1, 0, -1]
    """
    size = np.abs(V)
    return np.where(size.max(axis=1) > 0, size.argmax(axis=1), -1)


def duplicates(U: Real[np.ndarray, "k d"], signed: bool = False, cosine: float = 0.95) -> Bool[np.ndarray, " k"]:
    """For each concept, whether one before it has nearly its direction; with `signed` activations, or the opposite.

    >>> duplicates(np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.1]])).tolist()
    [False, False, True]
    """
    similar = cosines(U, U)
    return np.any(np.tril(np.abs(similar) if signed else similar, -1) >= cosine, axis=1)


def typical_size(V: Real[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """The root mean square of each concept's activations, `√(1/n Σ_m v_mk²)`; 1 for a dead concept.

    >>> typical_size(np.array([[3.0, 0.0], [4.0, 0.0]])).round(2).tolist()
    [3.54, 1.0]
    """
    size = np.sqrt(np.mean(np.square(V, dtype=np.float64), axis=0))
    return np.where(size > 0, size, 1.0)


def matched_cosine(
    first: Real[np.ndarray, "k d"], second: Real[np.ndarray, "j e"], signed: bool = False
) -> Float[np.ndarray, " k"]:
    """For each concept of `first`, its cosine with its partner in `second`, a dictionary of the same size.

    Partners are matched one to one, so that the sum of the cosines is largest (Hungarian method). `signed` says that
    activations are signed: then a concept and its opposite are the same, and |cos| counts.

    Raises:
        ValueError: the dictionaries have different shapes.
    """
    if first.shape != second.shape:
        raise ValueError(f"expected dictionaries of the same shape, got {first.shape} and {second.shape}")
    similar = cosines(first, second)
    similar = np.abs(similar) if signed else similar
    return similar[linear_sum_assignment(-similar)]


def best_of_row(scores: Real[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    """For each row of a square matrix, 1 if its largest entry lies on the diagonal, else 0; ties share the 1.

    With rows for the images of concepts and columns for the words of concepts: whether images select the words of
    their own concept.

    >>> best_of_row(np.array([[0.9, 0.1], [0.8, 0.2]])).tolist()
    [1.0, 0.0]
    """
    top = scores.max(axis=1, keepdims=True)
    return np.where(np.diag(scores) == top[:, 0], 1 / np.sum(scores == top, axis=1), 0.0)
