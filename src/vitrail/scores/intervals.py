"""How sure a number is: bootstrap intervals, permutation tests, and correction for many tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import stats

#: Of a test: whether a difference in either direction counts, or only an increase.
Alternative = Literal["two-sided", "greater"]


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` units with its standard deviation and its bootstrap interval `[low, high]`."""

    mean: float
    std: float
    low: float
    high: float
    n: int


def estimate(values: np.ndarray, seed: int = 0, confidence: float = 0.95, resamples: int = 2000) -> Estimate:
    """The mean of `values` (n,) and its percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13).

    NaN are units without a value, and left out. With fewer than two units there is no interval: it is NaN.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    n = len(values)
    if not n:
        return Estimate(np.nan, np.nan, np.nan, np.nan, 0)
    mean, std = float(values.mean()), float(values.std())
    if n < 2:
        return Estimate(mean, std, np.nan, np.nan, n)
    low, high = np.quantile(_resampled_means(values, seed, resamples), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(mean, std, float(low), float(high), n)


def _resampled_means(values: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    n, step = len(values), max(1, 2_000_000 // len(values))
    parts = [
        values[rng.integers(0, n, (min(step, resamples - start), n))].mean(axis=1)
        for start in range(0, resamples, step)
    ]
    return np.concatenate(parts)


def unpaired_gain(first: np.ndarray, second: np.ndarray, seed: int = 0, resamples: int = 2000) -> Estimate:
    """The difference of the means of two groups, with its percentile bootstrap interval over both; `n` counts the units
    of both, `std` is NaN, since one unit has no difference. NaN are left out; with fewer than two in a group it is NaN.
    """
    first, second = (v[~np.isnan(v)] for v in (np.asarray(first, float), np.asarray(second, float)))
    n = len(first) + len(second)
    if min(len(first), len(second)) < 2:
        return Estimate(np.nan, np.nan, np.nan, np.nan, n)
    again = _resampled_means(first, seed, resamples) - _resampled_means(second, seed + 1, resamples)
    low, high = np.quantile(again, [0.025, 0.975])
    return Estimate(float(first.mean() - second.mean()), np.nan, float(low), float(high), n)


def exceeded(observed: float, null: np.ndarray) -> float:
    """The p-value of `observed` against draws of the null: how often chance does as well,
    `(1 + #{null ≥ observed}) / (1 + #null)` (Phipson & Smyth 2010); never 0. NaN when nothing was observed.

    >>> exceeded(2.0, np.array([1.0, 3.0, 0.0]))
    0.5
    """
    null = np.asarray(null, float)
    if np.isnan(observed):
        return float("nan")
    close = 1e-12 * max(1.0, abs(observed))  # the same number, summed in another order
    return float((1 + np.sum(null >= observed - close)) / (1 + len(null)))


def paired_p(
    first: np.ndarray,
    second: np.ndarray,
    *,
    alternative: Alternative = "two-sided",
    seed: int = 0,
    resamples: int = 9999,
) -> float:
    """The p-value of a difference of means between paired units (n,), under random signs of the differences.

    All signs are tried where there are at most `resamples` ways to choose them; then the p-value is exact.

    Args:
        first: values of the units; pairs of which one value is NaN are left out.
        second: values of the same units under the other condition.
        alternative: "greater" tests whether the mean of `first` is larger, "two-sided" whether it differs.

    Returns:
        NaN without a pair; 1 where all differences are zero.
    """
    differences = np.asarray(first, float) - np.asarray(second, float)
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return float("nan")
    if not np.any(differences):
        return 1.0
    if len(differences) == 1:  # of its two signs; scipy refuses a single pair
        return 0.5 if alternative == "greater" and differences[0] > 0 else 1.0
    found = stats.permutation_test(
        (differences,),
        lambda d, axis: d.mean(axis),
        permutation_type="samples",
        alternative=alternative,
        n_resamples=resamples,
        vectorized=True,
        batch=max(1, 2_000_000 // len(differences)),
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def unpaired_p(first: np.ndarray, second: np.ndarray, seed: int = 0, resamples: int = 9999) -> float:
    """Two-sided p-value of a difference of means between two groups, by random regrouping. NaN are left out."""
    first, second = (v[~np.isnan(v)] for v in (np.asarray(first, float), np.asarray(second, float)))
    if not len(first) or not len(second):
        return float("nan")
    both = np.concatenate([first, second])
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(both, (resamples, 1)), axis=1)
    null = orders[:, : len(first)].mean(axis=1) - orders[:, len(first) :].mean(axis=1)
    return exceeded(abs(float(first.mean() - second.mean())), np.abs(null))


def corrected(p_values: Sequence[float]) -> list[float]:
    """q-values of several tests: the false discovery rate at which each is significant (Benjamini & Hochberg 1995).

    NaN stay NaN and count for nothing.

    >>> corrected([0.01, 0.04])
    [0.02, 0.04]
    """
    p = np.asarray(p_values, float)
    known = ~np.isnan(p)
    q = np.full(len(p), np.nan)
    if known.any():
        q[known] = stats.false_discovery_control(p[known])
    return [float(v) for v in q]


@dataclass(frozen=True)
class Correlation:
    """Pearson's r and Spearman's ρ of `n` pairs, each with its two-sided p-value; NaN where they are not defined."""

    r: float
    p: float
    rho: float
    rho_p: float
    n: int


def correlation(x: np.ndarray, y: np.ndarray) -> Correlation:
    """The correlation of `x` and `y` (n,), over the pairs without NaN."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(np.nan, np.nan, np.nan, np.nan, len(x))
    r: Any = stats.pearsonr(x, y)
    rho: Any = stats.spearmanr(x, y)
    return Correlation(float(r.statistic), float(r.pvalue), float(rho.statistic), float(rho.pvalue), len(x))


def median_estimate(values: np.ndarray, seed: int = 0, resamples: int = 2000) -> Estimate:
    """The median of `values` (n,) and its 95 % percentile bootstrap interval; `mean` holds the median, `std` is NaN."""
    values = np.asarray(values, float)
    again = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    low, high = np.quantile(np.median(values[again], axis=1), [0.025, 0.975])
    return Estimate(float(np.median(values)), np.nan, float(low), float(high), len(values))
