"""Concepts against known factors: does a concept stand for one value of one factor?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from vitrail.scores.intervals import Estimate

Value = str | int
#: One sample: factor → value, None where it has none.
Factors = Mapping[str, Value | None]
#: What is known of several samples: sample id → factor → value.
KnownFactors = Mapping[str, Factors]


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

    `auroc` (n_concepts, n_columns) belongs to the columns `factors[j]` = `values[j]`, which `counts[j]` samples have,
    of the `known[j]` that have a value of the factor at all.
    Where activations are `signed`, the sign of a concept means nothing, and 0.03 is as good a match as 0.97.
    """

    factors: tuple[str, ...]
    values: tuple[Value, ...]
    counts: tuple[int, ...]
    auroc: np.ndarray
    signed: bool
    known: tuple[int, ...] = ()

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


def factor_matrix(V: np.ndarray, factors_of_rows: Sequence[Factors], minimum: int = 5) -> FactorMatrix:
    """The AUROC of every concept's activation against every value of every factor.

    Args:
        V: (n_samples, n_concepts) activations.
        factors_of_rows: for every sample factor → value; a sample counts for the factors whose value it has (not None).
        minimum: values that fewer samples have, or fewer lack, are left out: chance alone would make some concept fit.
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


# ---- honest levels ---------------------------------------------------------------------------------------------------


def permuted_level(
    V: np.ndarray, factors_of_rows: Sequence[Factors], seed: int = 0, n: int = 20
) -> dict[str, Estimate]:
    """What `FactorMatrix.by_factor` is by chance: the best of many concepts fits anything a little. The samples'
    factors are dealt anew `n` times; `low` and `high` are the smallest and the largest level seen.
    """
    rng = np.random.default_rng(seed)
    levels: dict[str, list[float]] = {}
    for _ in range(n):
        dealt = [factors_of_rows[i] for i in rng.permutation(len(V))]
        for name, level in factor_matrix(V, dealt).by_factor.items():
            levels.setdefault(name, []).append(level)
    return {name: Estimate(float(np.mean(v)), float(np.std(v)), min(v), max(v), len(v)) for name, v in levels.items()}


@dataclass(frozen=True)
class HeldOut:
    """The best concept of every factor value, chosen on one set of samples, and its AUROC on another.

    `concept`, `chosen` and `held_out` belong to `factors[j]` = `values[j]`; `held_out` is NaN where the other set has
    too few samples with the value or without. `by_factor` has bootstrap intervals over the other set's samples.
    """

    factors: tuple[str, ...]
    values: tuple[Value, ...]
    concept: tuple[int, ...]
    chosen: tuple[float, ...]
    held_out: tuple[float, ...]
    by_factor: dict[str, Estimate]


def held_out(
    matrix: FactorMatrix, V: np.ndarray, factors_of_rows: Sequence[Factors], *, minimum: int = 5, seed: int = 0
) -> HeldOut:
    """The best concept for each column of `matrix`, judged on the activations `V` (n, n_concepts) of other samples.

    The best of twenty flatters itself on the samples that it was chosen by; here choice and judgement are apart.
    """
    best = matrix.match.argmax(axis=0) if matrix.factors else np.zeros(0, int)
    rows = np.arange(len(V))
    labels = np.array(
        [[row.get(f) == v for f, v in zip(matrix.factors, matrix.values, strict=True)] for row in factors_of_rows]
    )
    known = np.array([[row.get(f) is not None for f in matrix.factors] for row in factors_of_rows])
    labels, known = labels.reshape(len(V), -1), known.reshape(len(V), -1)
    flip = np.array([matrix.auroc[k, j] < 0.5 and matrix.signed for j, k in enumerate(best)], bool)

    def judge(some: np.ndarray) -> np.ndarray:
        result = np.full(len(best), np.nan)
        for j, k in enumerate(best):
            here = some[known[some, j]]
            positive = labels[here, j].sum()
            if min(positive, len(here) - positive) >= 1:
                value = float(auroc(V[here, k], labels[here, j]))
                result[j] = 1 - value if flip[j] else value
        return result

    counts = (labels & known).sum(axis=0)
    enough = (counts >= minimum) & (known.sum(axis=0) - counts >= minimum)
    judged = np.where(enough, judge(rows), np.nan)
    rng = np.random.default_rng(seed)
    again = (
        np.array([np.where(enough, judge(rng.choice(rows, len(rows))), np.nan) for _ in range(200)])
        if len(V)
        else np.zeros((0, len(best)))
    )
    names = np.array(matrix.factors)
    by_factor = {}
    for name in dict.fromkeys(matrix.factors):
        mine = (names == name) & enough
        if mine.any():
            means = again[:, mine][~np.isnan(again[:, mine]).all(axis=1)]
            low, high = np.quantile(np.nanmean(means, axis=1), [0.025, 0.975]) if len(means) else (np.nan, np.nan)
            by_factor[name] = Estimate(
                float(judged[mine].mean()), float(judged[mine].std()), float(low), float(high), int(mine.sum())
            )
    return HeldOut(
        matrix.factors,
        matrix.values,
        tuple(int(k) for k in best),
        tuple(float(matrix.match[k, j]) for j, k in enumerate(best)),
        tuple(float(v) for v in judged),
        by_factor,
    )


def purity(matrix: FactorMatrix, samples: Sequence[Sequence[Factors]]) -> tuple[np.ndarray, np.ndarray]:
    """How pure concepts are: the share of the most activating samples of each that have the value it matches best.

    Args:
        samples: for each concept the factors of its most activating samples.

    Returns:
        (n_concepts,) shares, and the shares that would be by chance (how common the value is). NaN without samples, and
        for a concept that matches by its absence (`match` from below .5).
    """
    found, chance = np.full(len(samples), np.nan), np.full(len(samples), np.nan)
    for k, (j, mine) in enumerate(zip(matrix.best, samples, strict=False)):
        if mine and matrix.auroc[k, j] >= 0.5:
            found[k] = np.mean([row.get(matrix.factors[j]) == matrix.values[j] for row in mine])
            chance[k] = matrix.counts[j] / matrix.known[j]
    return found, chance


@dataclass(frozen=True)
class Disentanglement:
    """DCI of Eastwood & Williams (2018, section 2): `disentanglement`, whether a concept serves one factor alone;
    `completeness`, whether a factor is served by one concept alone; `informativeness`, the accuracy with which the
    activations tell each factor on held-out samples, and `majority`, that of always saying the most common value.
    """

    disentanglement: float
    completeness: float
    informativeness: dict[str, float]
    majority: dict[str, float]


def disentanglement(
    V: np.ndarray,
    factors_of_rows: Sequence[Factors],
    V_test: np.ndarray,
    factors_of_test: Sequence[Factors],
    *,
    seed: int = 0,
    n_trees: int = 100,
) -> Disentanglement:
    """DCI with random forests: importance `R_kj` of concept k for factor j; `D = Σ_k ρ_k (1 − H_F(P_k·))` with
    `P_kj = R_kj / Σ_j R_kj` and `ρ_k` the share of concept k in all importance; `C_j = 1 − H_K(P̃_·j)`, their mean.

    Factors with one value, or whose test samples are none, are left out. NaN where fewer than two factors are known.
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


def _entropy(R: np.ndarray, base: int) -> np.ndarray:
    """(n,) entropy of each row of `R` as a distribution, in units of `base`; 1 for a row of zeros."""
    total = R.sum(axis=1, keepdims=True)
    P = np.divide(R, total, out=np.full_like(R, 1 / R.shape[1]), where=total > 0)
    logs = np.log(P, out=np.zeros_like(P), where=P > 0)
    return -(P * logs).sum(axis=1) / np.log(base)
