"""Scores: pure functions of arrays and words; they know nothing of models or files.

`overlap` is CoX-LMM's (Parekh et al. 2024); `auroc` and `factor_matrix` hold concepts against a known truth.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

Value = str | int


def overlap_matrix(word_sets: Sequence[Collection[str]]) -> np.ndarray:
    """(n_concepts, n_concepts): the share of the words of concept *k* that concept *l* has too, `|T_l ∩ T_k| / |T_k|`.

    The diagonal is 1; the row of a concept without words is 0.

    >>> overlap_matrix([{"red", "blue"}, {"red"}]).tolist()
    [[1.0, 0.5], [1.0, 1.0]]
    """
    sets = [frozenset(words) for words in word_sets]
    shared = [[len(mine & theirs) / max(len(mine), 1) for theirs in sets] for mine in sets]
    return np.array(shared, dtype=float).reshape(len(sets), len(sets))


def overlap(word_sets: Sequence[Collection[str]]) -> float:
    """How much concepts repeat each other's words, 0 (not at all) to 1 (all the same): CoX-LMM (Parekh et al. 2024),
    `Overlap(U) = 1/K Σ_k 1/(K−1) Σ_{l≠k} |T_l ∩ T_k| / |T_k|`. A single concept repeats none.

    >>> overlap([{"red", "blue"}, {"red"}])
    0.75
    """
    k = len(word_sets)
    if k < 2:
        return 0.0
    matrix = overlap_matrix(word_sets)
    return float((matrix.sum() - matrix.trace()) / (k * (k - 1)))


def auroc(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The chance that a positive sample scores higher than a negative one, ties half; NaN without either.

    Args:
        scores: (n_samples,) or (n_samples, n_concepts).
        labels: (n_samples,) or (n_samples, n_labels), truth values.

    Returns:
        (n_concepts, n_labels), without the axes that the arguments do not have.

    >>> float(auroc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True])))
    0.875
    """
    scores, labels = np.asarray(scores), np.asarray(labels, dtype=bool)
    if len(scores) != len(labels):
        raise ValueError(f"expected one label per score, got {len(scores)} scores and {len(labels)} labels")
    ranks = rankdata(scores, axis=0)
    positive = labels.sum(axis=0)
    pairs = positive * (len(labels) - positive)
    wins = ranks.T @ labels - positive * (positive + 1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return wins / np.where(pairs > 0, pairs, np.nan)


@dataclass(frozen=True)
class FactorMatrix:
    """How well the activations of each concept tell each value of each known factor.

    `auroc` (n_concepts, n_columns) belongs to the columns `factors[j]` = `values[j]`, which `counts[j]` samples have.
    Where activations are `signed`, the sign of a concept means nothing, and 0.03 is as good a match as 0.97.
    """

    factors: tuple[str, ...]
    values: tuple[Value, ...]
    counts: tuple[int, ...]
    auroc: np.ndarray
    signed: bool

    @property
    def match(self) -> np.ndarray:
        """(n_concepts, n_columns): `auroc`, or the better of it and its mirror image where activations are signed."""
        return np.maximum(self.auroc, 1 - self.auroc) if self.signed else self.auroc

    @property
    def best(self) -> list[int]:
        """The best-matching column of each concept."""
        return [int(j) for j in self.match.argmax(axis=1)] if self.factors else []

    @property
    def by_factor(self) -> dict[str, float]:
        """For each factor the mean, over its values, of the best match among all concepts: is it in there at all?"""
        best = self.match.max(axis=0)
        names = np.array(self.factors)
        return {name: float(best[names == name].mean()) for name in dict.fromkeys(self.factors)}


def factor_matrix(
    V: np.ndarray, factors_of_rows: Sequence[Mapping[str, Value | None]], minimum: int = 5
) -> FactorMatrix:
    """The AUROC of every concept's activation against every value of every factor.

    Args:
        V: (n_samples, n_concepts) activations.
        factors_of_rows: for every sample factor → value; a sample counts for the factors whose value it has (not None).
        minimum: values that fewer samples have, or fewer lack, are left out: chance alone would make some concept fit.
    """
    if len(V) != len(factors_of_rows):
        raise ValueError(f"expected the factors of {len(V)} samples, got {len(factors_of_rows)}")
    columns: list[tuple[str, Value, int]] = []
    parts: list[np.ndarray] = [np.empty((V.shape[1], 0))]
    for name in dict.fromkeys(name for row in factors_of_rows for name in row):
        found = [row.get(name) for row in factors_of_rows]
        known = np.array([value is not None and value == value for value in found], dtype=bool)
        present = [value for value in found if value is not None and value == value]
        numbered = {
            value: present.count(value) for value in sorted(set(present), key=lambda v: (isinstance(v, str), v))
        }
        kept = [v for v, n in numbered.items() if minimum <= n <= len(present) - minimum]
        if kept:
            labels = np.array([[value == v for v in kept] for value in present])
            parts.append(auroc(V[known], labels))
            columns += [(name, v, numbered[v]) for v in kept]
    names, values, counts = zip(*columns, strict=True) if columns else ((), (), ())
    return FactorMatrix(names, values, counts, np.hstack(parts), bool((V < 0).any()))
