"""Intervals and tests for figures of a few dozen concepts. Pure functions; every random choice takes a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats


@dataclass(frozen=True)
class Mean:
    """A mean with its 95 % bootstrap interval, and how many values it is of."""

    mean: float
    low: float
    high: float
    n: int


def mean_of(values: np.ndarray, *, resamples: int = 2000, seed: int = 0) -> Mean:
    """The mean of the `values` (n,) that are not NaN, with the percentile bootstrap's interval over them.

    All are NaN without a value.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if not len(values):
        return Mean(float("nan"), float("nan"), float("nan"), 0)
    rng = np.random.default_rng(seed)
    means = values[rng.integers(len(values), size=(resamples, len(values)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Mean(float(values.mean()), float(low), float(high), len(values))


def paired_p(better: np.ndarray, worse: np.ndarray, *, resamples: int = 9999, seed: int = 0) -> float:
    """The one-sided p of `mean(better − worse) > 0` under random signs of the differences (n,); NaN pairs are left out.

    Exact where there are few enough differences; 1 without any.
    """
    differences = np.asarray(better, float) - np.asarray(worse, float)
    differences = differences[~np.isnan(differences)]
    if not np.any(differences):
        return 1.0
    found = stats.permutation_test(
        (differences,),
        lambda d, axis: d.mean(axis),
        permutation_type="samples",
        alternative="greater",
        n_resamples=resamples,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


@dataclass(frozen=True)
class Correlation:
    """Pearson's r and Spearman's ρ of `n` pairs, each with its two-sided p; NaN where there is nothing to correlate."""

    r: float
    p: float
    rho: float
    rho_p: float
    n: int


def correlation(x: np.ndarray, y: np.ndarray) -> Correlation:
    """How `x` and `y` (n,) go together, over the pairs without NaN."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    nan = float("nan")
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(nan, nan, nan, nan, len(x))
    r: Any = stats.pearsonr(x, y)
    rho: Any = stats.spearmanr(x, y)
    return Correlation(float(r.statistic), float(r.pvalue), float(rho.statistic), float(rho.pvalue), len(x))
