"""Whether a window of values differs from a reference: tests for each stream, and for all of them together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import stats
from scipy.spatial.distance import cdist, pdist

from vitrail.scores.intervals import corrected, exceeded

#: Bins of a stream: their inner edges are the reference's quantiles; the first and the last are open.
BINS = 32


def edges(reference: Shaped[np.ndarray, "n s"], bins: int = BINS) -> Float[np.ndarray, "s e"]:
    """The inner edges of the bins of each stream, at the reference's quantiles; equal values give equal edges."""
    return np.quantile(np.asarray(reference, float), np.linspace(0, 1, bins + 1)[1:-1], axis=0).T


def binned(values: Shaped[np.ndarray, "n s"], at: Shaped[np.ndarray, "s e"]) -> Int[np.ndarray, "s b"]:
    """How many values of each stream fall into each bin; a value on an edge belongs to the bin above it."""
    places = [np.searchsorted(edge, column, side="right") for edge, column in zip(at, values.T, strict=True)]
    return np.array([np.bincount(place, minlength=at.shape[1] + 1) for place in places])


def psi(expected: Shaped[np.ndarray, "s b"], found: Shaped[np.ndarray, "s b"]) -> Float[np.ndarray, " s"]:
    """The population stability index of each stream, from counts in bins: `Σ (q − p) log(q / p)`.

    Half a count is added to each bin that either has, so that an empty bin does not make it infinite. By convention .1
    is a small change, and .25 a large one.

    >>> psi(np.array([[50, 50]]), np.array([[50, 50]]))
    array([0.])
    """
    used = (expected + found) > 0
    p, q = (np.where(used, counts + 0.5, 0.0) for counts in (expected, found))
    p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(used, (q - p) * np.log(q / p), 0.0).sum(axis=1)


@dataclass(frozen=True)
class WindowTest:
    """A window of values against a reference.

    Args:
        p: (streams,), by the Mann–Whitney test, two-sided, corrected for ties.
        q: (streams,), these p-values as false discovery rates (Benjamini & Hochberg 1995).
        superiority: (streams,), the probability that a value of the window is larger than one of the reference, ties
            half: .5 is no difference.
        ks: (streams,), the p-values of the two-sample Kolmogorov–Smirnov test, which also sees other changes of shape.
        psi: (streams,), the population stability index.
        joint: the p-value of all streams together: see `mmd_p`.
    """

    p: np.ndarray
    q: np.ndarray
    superiority: np.ndarray
    ks: np.ndarray
    psi: np.ndarray
    joint: float


def window_test(
    reference: Shaped[np.ndarray, "n s"], window: Shaped[np.ndarray, "m s"], seed: int = 0, permutations: int = 999
) -> WindowTest:
    """Compares a window with a reference, stream by stream and jointly.

    Both are samples: the uncertainty of the reference is part of every p-value.

    Args:
        seed: of the permutations of the joint test, which is left out (NaN) with 0 `permutations`.
    """
    at, (p, superiority) = edges(reference), rank_test(reference, window)
    ks = [stats.ks_2samp(a, b, method="asymp").pvalue for a, b in zip(window.T, reference.T, strict=True)]
    joint = mmd_p(reference, window, seed, permutations) if permutations else float("nan")
    of_bins = psi(binned(reference, at), binned(window, at))
    return WindowTest(p, np.array(corrected(p.tolist())), superiority, np.array(ks), of_bins, joint)


def rank_test(
    reference: Shaped[np.ndarray, "n s"], window: Shaped[np.ndarray, "m s"]
) -> tuple[Float[np.ndarray, " s"], Float[np.ndarray, " s"]]:
    """`p` and `superiority` of each stream, as `WindowTest` has them; the p-value is 1 where nothing differs."""
    constant = np.ptp(np.concatenate([reference, window]), axis=0) == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        found = stats.mannwhitneyu(window, reference, axis=0, method="asymptotic")
    return np.where(constant, 1.0, found.pvalue), found.statistic / (len(reference) * len(window))


def mmd_p(
    first: Shaped[np.ndarray, "n s"], second: Shaped[np.ndarray, "m s"], seed: int = 0, permutations: int = 999
) -> float:
    """The p-value of the maximum mean discrepancy between two groups of rows, by permutation (Gretton et al. 2012).

    Streams are divided by their standard deviations over both; the kernel is Gaussian, its width the median distance.
    """
    rows = np.concatenate([first, second]).astype(float)
    scale = rows.std(axis=0)
    rows = rows / np.where(scale > 0, scale, 1)
    rng = np.random.default_rng(seed)
    some = rows[rng.permutation(len(rows))[:500]]
    width = float(np.median(pdist(some))) or 1.0
    kernel = np.exp(-cdist(rows, rows, "sqeuclidean") / (2 * width**2))
    weights = np.concatenate([np.full(len(first), 1 / len(first)), np.full(len(second), -1 / len(second))])
    draws = rng.permuted(np.tile(weights, (permutations, 1)), axis=1)
    null = np.einsum("pn,pn->p", draws @ kernel, draws)
    return exceeded(float(weights @ kernel @ weights), null)


@dataclass(frozen=True)
class PairedTest:
    """The same units before and after.

    Args:
        p: (streams,), by the signed-rank test (Wilcoxon 1945), two-sided, zeros ranked and dropped (Pratt 1959); 1
            where nothing differs.
        q: (streams,), these p-values as false discovery rates (Benjamini & Hochberg 1995).
    """

    p: np.ndarray
    q: np.ndarray


def paired_test(before: Shaped[np.ndarray, "n s"], now: Shaped[np.ndarray, "n s"]) -> PairedTest:
    """Whether the values of each stream have moved, of units that are the same in both."""
    p = [
        float(stats.wilcoxon(a, b, zero_method="pratt", method="approx").pvalue) if np.any(a != b) else 1.0
        for a, b in zip(now.T, before.T, strict=True)
    ]
    return PairedTest(np.array(p), np.array(corrected(p)))


@dataclass(frozen=True)
class Detectable:
    """The smallest changes that a window test finds in 95 % of cases.

    Args:
        rate_of_10: of a stream that one in ten values has: the rate that is told from it.
        rate_of_50: the same for one that half of the values have.
        superiority: of a continuous stream: see `WindowTest.superiority`.
    """

    rate_of_10: float
    rate_of_50: float
    superiority: float


def detectable(n: int, window: int, streams: int, alpha: float = 0.05, power: float = 0.95) -> Detectable:
    """What a reference of `n` and a window can tell apart at a level of `alpha / streams`, by normal approximations.

    Rates by the test of two proportions (Fleiss et al. 2003, chapter 4); superiority by the Mann–Whitney test (Noether
    1987).
    """
    level, sure = stats.norm.isf(alpha / streams / 2), stats.norm.ppf(power)

    def rate(p: float) -> float:
        steps = np.linspace(p, 1, 100_001)
        pooled = (n * p + window * steps) / (n + window)
        needed = level * np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / window))
        needed += sure * np.sqrt(p * (1 - p) / n + steps * (1 - steps) / window)
        return float(steps[np.argmax(steps - p >= needed)]) if np.any(steps - p >= needed) else 1.0

    superiority = 0.5 + (level + sure) * np.sqrt((n + window + 1) / (12 * n * window))
    return Detectable(rate(0.1), rate(0.5), float(min(superiority, 1.0)))
