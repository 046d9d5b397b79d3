"""How certain a figure is: bootstrap intervals, permutation tests, correlations, and correction for many tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Shaped
from scipy import stats

#: What a test looks for: a difference in either direction, or an increase only.
Alternative = Literal["two-sided", "greater"]


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` units with its standard deviation and its bootstrap interval `[low, high]`."""

    mean: float
    std: float
    low: float
    high: float
    n: int


def estimate(
    values: Shaped[np.ndarray, " n"], seed: int = 0, confidence: float = 0.95, resamples: int = 2000
) -> Estimate:
    """The mean of `values` and its percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13).

    NaN means that a unit has no value; such units are left out. With fewer than two units the interval is NaN.
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


def _resampled_means(values: Float[np.ndarray, " n"], seed: int, resamples: int) -> Float[np.ndarray, " resamples"]:
    rng = np.random.default_rng(seed)
    n, step = len(values), max(1, 2_000_000 // len(values))
    parts = [
        values[rng.integers(0, n, (min(step, resamples - start), n))].mean(axis=1)
        for start in range(0, resamples, step)
    ]
    return np.concatenate(parts)


def unpaired_gain(
    first: Shaped[np.ndarray, " n"], second: Shaped[np.ndarray, " m"], seed: int = 0, resamples: int = 2000
) -> Estimate:
    """Mean of `first` minus mean of `second`, two groups of units, with its 95 % percentile bootstrap interval.

    Units with NaN are left out.

    Returns:
        `n` counts the units of both groups. `std` is NaN, since a single unit has no difference. All figures are NaN
        when a group has fewer than two units.
    """
    first, second = (v[~np.isnan(v)] for v in (np.asarray(first, float), np.asarray(second, float)))
    n = len(first) + len(second)
    if min(len(first), len(second)) < 2:
        return Estimate(np.nan, np.nan, np.nan, np.nan, n)
    again = _resampled_means(first, seed, resamples) - _resampled_means(second, seed + 1, resamples)
    low, high = np.quantile(again, [0.025, 0.975])
    return Estimate(float(first.mean() - second.mean()), np.nan, float(low), float(high), n)


def exceeded(observed: float, null: Shaped[np.ndarray, " n"]) -> float:
    """The p-value of `observed`, given draws under the null hypothesis: how often chance does at least as well.

    `(1 + #{null ≥ observed}) / (1 + #null)`, which is never 0 (Phipson & Smyth 2010). NaN if `observed` is NaN.

    >>> exceeded(2.0, np.array([1.0, 3.0, 0.0]))
    0.5
    """
    null = np.asarray(null, float)
    if np.isnan(observed):
        return float("nan")
    close = 1e-12 * max(1.0, abs(observed))  # the same number, summed in another order
    return float((1 + np.sum(null >= observed - close)) / (1 + len(null)))


def paired_p(
    first: Shaped[np.ndarray, " n"],
    second: Shaped[np.ndarray, " n"],
    *,
    alternative: Alternative = "two-sided",
    seed: int = 0,
    resamples: int = 9999,
) -> float:
    """The p-value of a difference of means between paired units, by random signs of their differences.

    The p-value is exact where there are at most `resamples` ways to choose the signs: then all are tried.

    Args:
        first: one value per unit. A pair with a NaN is left out.
        second: the values of the same units under the other condition.
        alternative: "greater" tests whether the mean of `first` is larger, "two-sided" whether it differs.
        seed: of the random signs.
        resamples: how many choices of signs are tried at most.

    Returns:
        NaN when no pair is left; 1 when all differences are zero.
    """
    differences = np.asarray(first, float) - np.asarray(second, float)
    differences = differences[~np.isnan(differences)]
    if not len(differences):
        return float("nan")
    if not np.any(differences):
        return 1.0
    if len(differences) == 1:  # two ways to choose the sign; scipy asks for two units or more
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


def unpaired_p(
    first: Shaped[np.ndarray, " n"], second: Shaped[np.ndarray, " m"], seed: int = 0, resamples: int = 9999
) -> float:
    """The two-sided p-value of a difference of means between two groups of units, by random regrouping.

    Units with NaN are left out. NaN when a group is empty.
    """
    first, second = (v[~np.isnan(v)] for v in (np.asarray(first, float), np.asarray(second, float)))
    if not len(first) or not len(second):
        return float("nan")
    both = np.concatenate([first, second])
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.tile(both, (resamples, 1)), axis=1)
    null = orders[:, : len(first)].mean(axis=1) - orders[:, len(first) :].mean(axis=1)
    return exceeded(abs(float(first.mean() - second.mean())), np.abs(null))


def corrected(p_values: Sequence[float]) -> list[float]:
    """The q-values of several tests: for each the false discovery rate at which it is significant.

    Benjamini & Hochberg (1995). A NaN stays NaN, and does not count as a test.

    >>> corrected([0.01, 0.04])
    [0.02, 0.04]
    """
    p = np.asarray(p_values, float)
    known = ~np.isnan(p)
    q = np.full(len(p), np.nan)
    if known.any():
        q[known] = stats.false_discovery_control(p[known])
    return [float(v) for v in q]


def auroc_estimate(
    scores: Shaped[np.ndarray, " n"],
    labels: Shaped[np.ndarray, " n"],
    over: Shaped[np.ndarray, " n"] | None = None,
    seed: int = 0,
    resamples: int = 2000,
) -> Estimate:
    """The AUROC of `scores` for `labels` with its 95 % percentile bootstrap interval, both groups drawn by themselves.

    Args:
        over: other scores of the same units, whose AUROC is subtracted, resample by resample.

    Returns:
        `mean` is the AUROC, or the gain; `std` is NaN, since a single unit has none. NaN without one of the groups.
    """
    both = np.column_stack([scores] if over is None else [scores, over]).astype(float)
    positive, negative = both[labels.astype(bool)], both[~labels.astype(bool)]
    n = len(both)
    if not len(positive) or not len(negative):
        return Estimate(np.nan, np.nan, np.nan, np.nan, n)
    rng = np.random.default_rng(seed)
    wins = np.stack([(a[:, None] > b) + 0.5 * (a[:, None] == b) for a, b in zip(positive.T, negative.T, strict=True)])
    gain = wins[0] - wins[1] if over is not None else wins[0]
    rows = rng.multinomial(len(positive), np.full(len(positive), 1 / len(positive)), resamples) / len(positive)
    columns = rng.multinomial(len(negative), np.full(len(negative), 1 / len(negative)), resamples) / len(negative)
    low, high = np.quantile(((rows @ gain) * columns).sum(axis=1), [0.025, 0.975])
    return Estimate(float(gain.mean()), np.nan, float(low), float(high), n)


@dataclass(frozen=True)
class Correlation:
    """Pearson's `r` and Spearman's `rho` of `n` pairs, each with its two-sided p-value; NaN where undefined."""

    r: float
    p: float
    rho: float
    rho_p: float
    n: int


def correlation(x: Shaped[np.ndarray, " n"], y: Shaped[np.ndarray, " n"]) -> Correlation:
    """The correlation of `x` and `y` over the pairs without NaN; undefined for fewer than three, or a constant."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    known = ~(np.isnan(x) | np.isnan(y))
    x, y = x[known], y[known]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(np.nan, np.nan, np.nan, np.nan, len(x))
    r: Any = stats.pearsonr(x, y)
    rho: Any = stats.spearmanr(x, y)
    return Correlation(float(r.statistic), float(r.pvalue), float(rho.statistic), float(rho.pvalue), len(x))


def median_estimate(values: Shaped[np.ndarray, " n"], seed: int = 0, resamples: int = 2000) -> Estimate:
    """The median of `values`, in the field `mean`, and its 95 % percentile bootstrap interval; `std` is NaN."""
    values = np.asarray(values, float)
    again = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    low, high = np.quantile(np.median(values[again], axis=1), [0.025, 0.975])
    return Estimate(float(np.median(values)), np.nan, float(low), float(high), len(values))
