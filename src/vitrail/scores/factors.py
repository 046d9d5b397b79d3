"""Scores of concepts against known factors: does a concept stand for one value of one factor?

A factor is a property of samples, such as "colour"; its values are "red", "blue" and so on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real, Shaped
from scipy.stats import rankdata

Value = str | int
#: What is known of a sample: factor → value, or None where it has no value.
Factors = Mapping[str, Value | None]
#: What is known of several samples: sample id → factor → value.
KnownFactors = Mapping[str, Factors]


def auroc(scores: Real[np.ndarray, "n ..."], labels: Shaped[np.ndarray, "m ..."]) -> Float[np.ndarray, " ..."]:
    """The area under the ROC curve: the probability that a positive sample scores higher than a negative one.

    Ties count half.

    Args:
        scores: (n_samples,) or (n_samples, n_concepts).
        labels: (n_samples,) or (n_samples, n_labels), whether each sample is positive.

    Returns:
        (n_concepts, n_labels), without the axes that the arguments lack. NaN for a label without positive samples, or
        without negative ones.

    Raises:
        ValueError: `scores` and `labels` have different lengths.

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
        return np.asarray(wins / np.where(pairs > 0, pairs, np.nan))


@dataclass(frozen=True)
class FactorMatrix:
    """How well the activations of each concept (row) separate each value of each known factor (column).

    Column *j* is about samples with `factors[j]` = `values[j]`.

    Args:
        factors: the factor of each column.
        values: the value of each column.
        counts: how many samples have the value of each column.
        auroc: for each concept and column, the AUROC of the activations.
        signed: whether activations are signed. Then a concept's sign means nothing: 0.03 is as good a match as 0.97.
        known: how many samples have a value of the factor of each column.
    """

    factors: tuple[str, ...]
    values: tuple[Value, ...]
    counts: tuple[int, ...]
    auroc: Float[np.ndarray, "k columns"]
    signed: bool
    known: tuple[int, ...] = ()

    @property
    def match(self) -> Float[np.ndarray, "k columns"]:
        """`auroc`; where activations are signed, the larger of `auroc` and `1 − auroc`."""
        return np.maximum(self.auroc, 1 - self.auroc) if self.signed else self.auroc

    @property
    def best(self) -> list[int]:
        """The best-matching column of each concept."""
        return [int(j) for j in self.match.argmax(axis=1)] if self.factors else []

    @property
    def by_factor(self) -> dict[str, float]:
        """Factor → mean, over its values, of the best match among all concepts: is the factor in the dictionary?"""
        best = self.match.max(axis=0)
        names = np.array(self.factors)
        return {name: float(best[names == name].mean()) for name in dict.fromkeys(self.factors)}


def factor_matrix(V: Real[np.ndarray, "n k"], factors_of_rows: Sequence[Factors], minimum: int = 5) -> FactorMatrix:
    """The AUROC of every concept's activations for every value of every factor.

    Args:
        V: the activations of the samples.
        factors_of_rows: what is known of each sample. It counts for the factors of which it has a value.
        minimum: a value is left out if fewer samples have it, or fewer lack it: by chance some concept would fit it.

    Raises:
        ValueError: there are not as many `factors_of_rows` as rows of `V`.
    """
    if len(V) != len(factors_of_rows):
        raise ValueError(f"expected the factors of {len(V)} samples, got {len(factors_of_rows)}")
    columns: list[tuple[str, Value, int, int]] = []
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
            columns += [(name, v, numbered[v], len(present)) for v in kept]
    names, values, counts, totals = zip(*columns, strict=True) if columns else ((), (), (), ())
    return FactorMatrix(names, values, counts, np.hstack(parts), bool((V < 0).any()), totals)


@dataclass(frozen=True)
class Disentanglement:
    """The DCI scores of Eastwood & Williams (2018, section 2).

    Args:
        disentanglement: 1 if each concept is important for a single factor.
        completeness: 1 if for each factor a single concept is important.
        informativeness: factor → accuracy, on held-out samples, of predicting it from the activations.
        majority: factor → accuracy of always predicting its most common value.
    """

    disentanglement: float
    completeness: float
    informativeness: dict[str, float]
    majority: dict[str, float]


def disentanglement(
    V: Real[np.ndarray, "n k"],
    factors_of_rows: Sequence[Factors],
    V_test: Real[np.ndarray, "m k"],
    factors_of_test: Sequence[Factors],
    *,
    seed: int = 0,
    n_trees: int = 100,
) -> Disentanglement:
    """The DCI scores, with the importance `R_kj` of concept k for factor j in random forests.

    Disentanglement is `Σ_k ρ_k (1 − H_F(P_k·))`, with `P_kj = R_kj / Σ_j R_kj` and `ρ_k` the share of concept k in all
    importance. Completeness is the mean over factors of `1 − H_K(P̃_·j)`, with `P̃_kj = R_kj / Σ_k R_kj`.

    Args:
        V: activations of the samples to train on.
        factors_of_rows: what is known of these.
        V_test: activations of held-out samples.
        factors_of_test: what is known of those.
        seed: of the forests.
        n_trees: trees per forest.

    Returns:
        Factors with a single value, or without test samples, are left out. Disentanglement and completeness are NaN for
        fewer than two factors, or fewer than two concepts.
    """
    from sklearn.ensemble import RandomForestClassifier

    importances, right, majority = [], {}, {}
    for name in dict.fromkeys(name for row in factors_of_rows for name in row):
        train = [i for i, row in enumerate(factors_of_rows) if row.get(name) is not None]
        test = [i for i, row in enumerate(factors_of_test) if row.get(name) is not None]
        y = np.array([str(factors_of_rows[i][name]) for i in train])
        values, counts = np.unique(y, return_counts=True)
        if len(values) < 2 or not test:
            continue
        forest = RandomForestClassifier(n_trees, random_state=seed, min_samples_leaf=2).fit(V[train], y)
        truth = np.array([str(factors_of_test[i][name]) for i in test])
        right[name] = float(np.mean(forest.predict(V_test[test]) == truth))
        majority[name] = float(np.mean(truth == values[counts.argmax()]))
        importances.append(forest.feature_importances_)
    if len(importances) < 2 or V.shape[1] < 2:
        return Disentanglement(np.nan, np.nan, right, majority)
    R = np.array(importances).T
    weight = R.sum(axis=1) / R.sum()
    d = float(np.sum(weight * (1 - _entropy(R, base=R.shape[1]))))
    return Disentanglement(d, float(np.mean(1 - _entropy(R.T, base=R.shape[0]))), right, majority)


def _entropy(R: Float[np.ndarray, "n m"], base: int) -> Float[np.ndarray, " n"]:
    """The entropy of each row of `R`, normalised to a distribution, with logarithms to `base`; 1 for a row of zeros."""
    total = R.sum(axis=1, keepdims=True)
    P = np.divide(R, total, out=np.full_like(R, 1 / R.shape[1]), where=total > 0)
    logs = np.log(P, out=np.zeros_like(P), where=P > 0)
    return -(P * logs).sum(axis=1) / np.log(base)
