"""Scores of a dictionary: its concepts `U` (n_concepts, n_features), its activations `V` (n_samples, n_concepts)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from vitrail.scores.intervals import Estimate


def cosines(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """(n, m) cosines between the rows of `A` (n, d) and of `B` (m, d), in float64; 0 where a row is zero."""
    return unit(A) @ unit(B).T


def unit(U: np.ndarray) -> np.ndarray:
    """The rows of `U` (n, d) at norm 1, in float64; zero rows stay zero."""
    U = np.asarray(U, np.float64)
    norms = np.linalg.norm(U, axis=1, keepdims=True)
    return U / np.where(norms > 0, norms, 1.0)


def pairwise_cosine(U: np.ndarray) -> np.ndarray:
    """(n_concepts,): the mean |cos| of each concept with the others: 0 orthogonal, 1 all the same; a single one: 0."""
    k = len(U)
    if k < 2:
        return np.zeros(k)
    matrix = np.abs(cosines(U, U))
    return (matrix.sum(axis=1) - np.diag(matrix)) / (k - 1)


def explained_variance(
    Z: np.ndarray, reconstructed: np.ndarray, mean: np.ndarray, seed: int = 0, resamples: int = 1000
) -> Estimate:
    """`1 − ‖Z − Ẑ‖² / ‖Z − mean‖²` with its bootstrap interval over samples; `std` is NaN, since one sample has none.

    `mean` (n_features,) is that of the states that were learned from, so that held-out states are not compared with
    knowledge of themselves. NaN without variance.
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


def l0(V: np.ndarray) -> np.ndarray:
    """(n_samples,): how many concepts are active in each sample."""
    return np.sum(V != 0, axis=1)


def hoyer(V: np.ndarray) -> np.ndarray:
    """(n_samples,): `(√K − ‖v‖₁/‖v‖₂) / (√K − 1)` (Hoyer 2004, section 3.1): 0 all concepts alike, 1 a single one.

    NaN for a sample that activates nothing, and where there is but one concept.

    >>> hoyer(np.array([[1.0, 1.0], [0.0, 3.0]])).tolist()
    [0.0, 1.0]
    """
    k = V.shape[1]
    norm = np.linalg.norm(V, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = (np.sqrt(k) - np.abs(V).sum(axis=1) / norm) / (np.sqrt(k) - 1)
    return np.where((norm > 0) & (k > 1), value, np.nan)


def dead(V: np.ndarray) -> np.ndarray:
    """(n_concepts,) bool: the concepts that no sample activates."""
    return ~np.any(V != 0, axis=0)


def matched_cosine(first: np.ndarray, second: np.ndarray, signed: bool = False) -> np.ndarray:
    """(n_concepts,): the cosine of every concept of a dictionary with its partner in another of the same size, matched
    one to one at best.

    Where activations are `signed` a concept and its opposite are the same.
    """
    if first.shape != second.shape:
        raise ValueError(f"expected dictionaries of the same shape, got {first.shape} and {second.shape}")
    similar = cosines(first, second)
    similar = np.abs(similar) if signed else similar
    return similar[linear_sum_assignment(-similar)]


def best_of_row(scores: np.ndarray) -> np.ndarray:
    """(n,): 1 where the diagonal of a square matrix is the largest of its row, shared with ties, 0 elsewhere.

    With rows images of concepts and columns words of concepts: whether images find the words of their own concept.

    >>> best_of_row(np.array([[0.9, 0.1], [0.8, 0.2]])).tolist()
    [1.0, 0.0]
    """
    top = scores.max(axis=1, keepdims=True)
    return np.where(np.diag(scores) == top[:, 0], 1 / np.sum(scores == top, axis=1), 0.0)
