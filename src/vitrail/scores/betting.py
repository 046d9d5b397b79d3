"""Tests that hold whenever one looks: conformal ranks, and bets against their being uniform.

A stream of values is compared with a reference of `n` values. The rank of each new value among the reference, the
values before it, and itself, with ties broken at random, is uniform on [0, 1] and independent of the ranks before it,
as long as all values are exchangeable (Vovk, Gammerman & Shafer 2005, theorem 8.2). Whoever bets against that at fair
odds, `f(p)` with `∫ f = 1`, owns a test martingale: with capital 1 at the start, it ever reaches `1/α` with a
probability of at most α (Ville 1939; Vovk 2021, *Testing randomness online*). So an alarm at `1/α` is false with a
probability of at most α over the whole stream, however often one looks.

A change that begins late must not drown in a long quiet past. So the capital is not put at stake at once: a part starts
to bet at each step, and the rest sleeps. The sum over all starts is a test martingale, too: a mixture over restarts,
with weights that sum to 1 (compare the e-detectors of Shin, Ramdas & Rinaldo 2024, which bound the run length instead).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

#: Half of the capital bets after three times so many steps, nine tenths after a hundred times.
PATIENCE = 100.0
#: How the odds of being above a level change, and how strongly high or low ranks are favoured: a bet for each.
ODDS = (0.35, 0.6, 1.7, 2.8)
POWERS = (0.7,)
_BLOCK = 64


class ConformalRanks:
    """Ranks of values among a reference and all values before them; a high value has a low rank.

    Args:
        reference: (n, streams).
        rng: breaks ties.
    """

    def __init__(self, reference: Shaped[np.ndarray, "n s"], rng: np.random.Generator) -> None:
        self.past = np.sort(np.asarray(reference, np.float32), axis=0)
        self.rng = rng

    def __call__(self, values: Shaped[np.ndarray, "m s"]) -> Float[np.ndarray, "m s"]:
        """The ranks of `values`, which then belong to the past: `(#greater + θ #equal) / #all`, θ uniform, with the
        value itself among the equal ones."""
        values = np.asarray(values, np.float32)
        parts = [self._block(values[i : i + _BLOCK]) for i in range(0, len(values), _BLOCK)]
        return np.concatenate(parts) if parts else np.empty(values.shape)

    def _block(self, values: np.ndarray) -> np.ndarray:
        n, m = len(self.past), len(values)
        greater, equal = np.empty(values.shape), np.empty(values.shape)
        for stream in range(values.shape[1]):
            column, new = self.past[:, stream], values[:, stream]
            right = np.searchsorted(column, new, side="right")
            greater[:, stream], equal[:, stream] = n - right, right - np.searchsorted(column, new, side="left")
        earlier = np.tril(np.ones((m, m), bool), -1)[:, :, None]
        greater += ((values[None] > values[:, None]) & earlier).sum(axis=1)
        equal += ((values[None] == values[:, None]) & earlier).sum(axis=1) + 1
        self.past = np.sort(np.concatenate([self.past, values]), axis=0)
        return (greater + self.rng.random(values.shape) * equal) / (n + 1 + np.arange(m))[:, None]


@dataclass(frozen=True)
class Bets:
    """Bets against uniform ranks, for each of several streams.

    Args:
        levels: (streams, bets), the rank below which a bet pays more or less; NaN for bets on all ranks.
        below: (streams, bets), what it pays below the level; or the exponent κ of `κ p^(κ−1)`, negative for `1 − p`.
        above: (streams, bets), what it pays above the level.
    """

    levels: Float[np.ndarray, "*r s b"]
    below: Float[np.ndarray, "*r s b"]
    above: Float[np.ndarray, "*r s b"]

    @classmethod
    def against(cls, reference: Shaped[np.ndarray, "*r n s"]) -> Bets:
        """Bets that the share of values above 0, or above the reference's median where hardly any is 0, has other odds
        than in the reference; and that high, or low, values have become frequent."""
        n = reference.shape[-2]
        share = np.mean(reference > 0, axis=-2)
        share = np.where(share > 0.9, 0.5, share)[..., None]
        share = np.clip(share, 1 / (n + 1), n / (n + 1))
        odds = np.array(ODDS) * share / (1 - share)
        new = odds / (1 + odds)
        powers = np.broadcast_to([*POWERS, *(-k for k in POWERS)], (*share.shape[:-1], 2 * len(POWERS)))
        nothing = np.full(powers.shape, np.nan)
        return cls(
            np.concatenate([np.broadcast_to(share, new.shape), nothing], axis=-1),
            np.concatenate([new / share, powers], axis=-1),
            np.concatenate([(1 - new) / (1 - share), nothing], axis=-1),
        )

    def log(self, ranks: Float[np.ndarray, "*r s"]) -> Float[np.ndarray, "*r s b"]:
        """The logarithm of what each bet pays for these ranks."""
        p = np.clip(ranks, 1e-9, 1 - 1e-9)[..., None]
        with np.errstate(invalid="ignore"):
            paid = np.log(np.where(p < self.levels, self.below, self.above))
            power = np.abs(self.below)
            of_all = np.log(power) + (power - 1) * np.log(np.where(self.below > 0, p, 1 - p))
        return np.where(np.isnan(self.levels), of_all, paid)


class Wealth:
    """The capital of bets against each of several streams, from 1 on; see the module.

    Attributes:
        log: (streams,), the logarithm of the capital now.
        highest: (streams,), that of the highest so far.
        time: how many ranks came.
        since: (streams,), when the change began, if there is one: the step from which on the best bet paid most (the
            estimate of CUSUM, Page 1954).
    """

    def __init__(self, bets: Bets) -> None:
        self.bets, self.time = bets, 0
        shape = bets.levels.shape
        self._at_stake = np.full(shape, -np.inf)
        self._sum, self._lowest = np.zeros(shape), np.zeros(shape)
        self._lowest_at = np.zeros(shape, int)
        self.log, self.highest = np.zeros(shape[:-1]), np.zeros(shape[:-1])

    def add(self, ranks: Float[np.ndarray, "*r s"]) -> None:
        """Bets on one rank of each stream."""
        starts = _asleep(self.time) - _asleep(self.time + 1)
        self.time += 1
        paid = self.bets.log(ranks)
        self._at_stake = np.logaddexp(self._at_stake, np.log(starts / paid.shape[-1])) + paid
        self._sum += paid
        lower = self._sum < self._lowest
        self._lowest = np.where(lower, self._sum, self._lowest)
        self._lowest_at = np.where(lower, self.time, self._lowest_at)
        self.log = np.logaddexp(np.log(_asleep(self.time)), np.logaddexp.reduce(self._at_stake, axis=-1))
        self.highest = np.maximum(self.highest, self.log)

    @property
    def since(self) -> Int[np.ndarray, "*r s"]:
        best = (self._sum - self._lowest).argmax(axis=-1)[..., None]
        return np.take_along_axis(self._lowest_at, best, axis=-1)[..., 0]


def _asleep(time: float) -> float:
    """The part of the capital that has not started to bet after so many steps."""
    return float((1 + time / PATIENCE) ** -0.5)


def shares(alpha: float, groups: Sequence[int]) -> Float[np.ndarray, " s"]:
    """The error that each stream may make, so that all together make `alpha` at most: each group has an equal share of
    it, and so has each stream in its group (Bonferroni). This holds exactly: the ranks of a stream are uniform given
    the earlier ones of the same stream, whatever the other streams do.

    >>> shares(0.05, [1, 5])
    array([0.025, 0.005, 0.005, 0.005, 0.005, 0.005])
    """
    present = [n for n in groups if n]
    return np.concatenate([np.full(n, alpha / len(present) / n) for n in present])


def adjusted(highest: Shaped[np.ndarray, " s"]) -> Float[np.ndarray, " s"]:
    """e-values from the highest capital M so far: `(M − 1 − log M) / log² M` (Shafer, Shen, Vereshchagin & Vovk 2011).

    The capital of each stream is fair with respect to the past of that stream alone; looked at together, at a time that
    depends on all of them, it need not be. This value is, whenever one looks (Choe & Ramdas 2024, *Combining evidence
    across filtrations*).

    Args:
        highest: the logarithms of the highest capitals, 0 or more.
    """
    log = np.maximum(np.asarray(highest, float), 1e-4)
    return np.where(log > 1e-3, (np.expm1(np.minimum(log, 600)) - log) / log**2, 0.5)


def e_bh(values: Shaped[np.ndarray, " s"], alpha: float) -> Shaped[np.ndarray, " s"]:
    """Which of the streams moved, (s,) bool, with a false discovery rate of at most `alpha` (e-BH; Wang & Ramdas 2022).

    Args:
        values: an e-value of each, in whatever way they depend on each other.

    >>> e_bh(np.array([100.0, 25.0, 1.0]), 0.05)
    array([ True, False, False])
    """
    order = np.argsort(-values, kind="stable")
    enough = values[order] * np.arange(1, len(values) + 1) * alpha >= len(values)
    found = np.zeros(len(values), bool)
    if enough.any():
        found[order[: np.flatnonzero(enough)[-1] + 1]] = True
    return found
