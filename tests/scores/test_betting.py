"""Ranks are uniform where nothing changes, bets are fair, and an alarm is as rare as it says, whenever one looks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vitrail.scores.betting import Bets, ConformalRanks, Wealth, adjusted, e_bh, shares


def mixed(rng, n, streams=3):
    """A sparse stream, a continuous one, and one of 0 and 1."""
    sparse = np.maximum(rng.normal(size=n) - 0.8, 0)
    return np.stack([sparse, rng.normal(size=n), rng.random(n) < 0.1][:streams], axis=1).astype(np.float32)


def test_ranks_count_the_reference_the_past_and_the_value_itself():
    reference = np.array([[1.0], [2.0], [2.0], [3.0]])
    values = np.array([[2.0], [9.0], [2.0]])
    found = ConformalRanks(reference, np.random.default_rng(0))(values)
    ties, past, want = np.random.default_rng(0).random((3, 1)), [*reference[:, 0]], []
    for (value,), (tie,) in zip(values, ties, strict=True):
        past.append(value)
        want.append((np.sum(np.array(past) > value) + tie * np.sum(np.array(past) == value)) / len(past))
    np.testing.assert_allclose(found[:, 0], want)


def test_ranks_do_not_depend_on_how_the_stream_is_cut():
    data = mixed(np.random.default_rng(0), 500)
    whole = ConformalRanks(data[:100], np.random.default_rng(1))
    cut = ConformalRanks(data[:100], np.random.default_rng(1))
    np.testing.assert_array_equal(
        whole(data[100:]), np.concatenate([cut(part) for part in np.split(data[100:], [64, 192])])
    )


def test_ranks_of_an_exchangeable_stream_are_uniform_and_independent():
    ranks = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        ranks.append(ConformalRanks(mixed(rng, 40), rng)(mixed(rng, 40)))
    for stream in range(3):
        column = np.array(ranks)[:, :, stream]
        assert stats.kstest(column.ravel(), "uniform").pvalue > 0.001
        assert abs(np.corrcoef(column[:, :-1].ravel(), column[:, 1:].ravel())[0, 1]) < 0.04


def test_every_bet_is_fair():
    """The integral of what each bet pays is 1."""
    bets = Bets.against(mixed(np.random.default_rng(0), 1000))
    edges = np.linspace(0, 1, 200_001)
    middle = (edges[1:] + edges[:-1]) / 2
    paid = np.exp(bets.log(np.broadcast_to(middle[:, None], (len(middle), 3))))
    np.testing.assert_allclose(paid.mean(axis=0), 1, atol=2e-3)  # a bet that is infinite at 0 has the largest error


def test_the_capital_is_the_mean_over_bets_and_starts():
    """Against the definition: each start has its weight, and what it bet from then on."""
    rng = np.random.default_rng(3)
    bets = Bets.against(mixed(rng, 100))
    ranks = rng.random((40, 3))
    wealth = Wealth(bets)
    for rank in ranks:
        wealth.add(rank)
    asleep = (1 + np.arange(41) / 100.0) ** -0.5
    total = asleep[-1]
    for start in range(40):
        gains = np.exp(sum(bets.log(rank) for rank in ranks[start:]))
        total = total + (asleep[start] - asleep[start + 1]) * gains.mean(axis=-1)
    np.testing.assert_allclose(np.exp(wealth.log), total, rtol=1e-10)


def test_the_gain_against_a_known_shift_is_that_of_the_closed_form():
    """Where the share of hits has the odds of a bet, that bet grows by the Kullback–Leibler divergence."""
    rng, share = np.random.default_rng(0), 0.2
    reference = (np.arange(1000) < 200).astype(np.float32)[:, None]
    bets = Bets.against(reference)
    odds = 2.8 * share / (1 - share)
    new = odds / (1 + odds)
    ranks = np.where(rng.random(200_000) < new, share * rng.random(200_000), share + (1 - share) * rng.random(200_000))
    grown = bets.log(ranks[:, None])[:, 0].mean(axis=0)
    want = new * np.log(new / share) + (1 - new) * np.log((1 - new) / (1 - share))
    assert grown.max() == pytest.approx(want, rel=0.02)


def first_alarms(runs, steps, change=0, at=0, alpha=0.05):
    """When each run raised its first alarm, infinite for none; from `at` on values are higher by `change`."""
    found = np.full(runs, np.inf)
    for run in range(runs):
        rng = np.random.default_rng(run)
        reference, values = mixed(rng, 300), mixed(rng, steps)
        values[at:, 1] += change
        ranks, wealth = ConformalRanks(reference, rng)(values), Wealth(Bets.against(reference))
        limits = -np.log(shares(alpha, [2, 1]))
        for step, rank in enumerate(ranks):
            wealth.add(rank)
            if (wealth.log >= limits).any():
                found[run] = step + 1
                break
    return found


def test_false_alarms_over_the_whole_stream_are_as_rare_as_promised():
    alarms = np.isfinite(first_alarms(150, 400, alpha=0.2)).mean()
    assert alarms <= 0.2 + 3 * np.sqrt(0.2 * 0.8 / 150)


@pytest.mark.parametrize("at", [0, 1500])
def test_a_change_is_found_whether_it_begins_early_or_late(at):
    found = first_alarms(10, at + 400, change=1.0, at=at)
    assert np.isfinite(found).all()
    assert (found > at).mean() >= 0.9  # the others are false alarms


def test_the_step_at_which_a_change_began_is_told():
    told = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        reference, values = mixed(rng, 1000), mixed(rng, 600)
        values[350:, 1] += 1
        wealth = Wealth(Bets.against(reference))
        for rank in ConformalRanks(reference, rng)(values):
            wealth.add(rank)
        told.append(wealth.since[1])
    assert abs(np.median(told) - 350) < 25


def test_adjusted_capital_is_an_e_value_even_at_its_highest():
    """A geometric walk stopped with the capital at its highest: the mean of the adjusted value stays below 1."""
    rng = np.random.default_rng(0)
    steps = rng.normal(-0.02, 0.2, (20_000, 300))  # exp of it has mean 1
    highest = np.maximum(np.cumsum(steps, axis=1).max(axis=1), 0)
    assert np.exp(highest).mean() > 1.5
    assert adjusted(highest).mean() <= 1.02
    assert adjusted(np.zeros(1)) == pytest.approx(0.5)
    assert adjusted(np.log([20.0])) == pytest.approx((19 - np.log(20)) / np.log(20) ** 2)


@pytest.mark.parametrize(
    ("values", "found"),
    [([100, 25, 1], [1, 0, 0]), ([40, 40, 1], [1, 1, 0]), ([20, 20, 20], [1, 1, 1]), ([59, 1, 1], [0, 0, 0])],
)
def test_e_bh_rejects_where_enough_values_are_high(values, found):
    assert e_bh(np.array(values, float), 0.05).tolist() == [bool(f) for f in found]


def test_shares_of_the_error_add_up():
    assert shares(0.05, [21, 32]).sum() == pytest.approx(0.05)
    assert shares(0.05, [21, 0]).tolist() == [pytest.approx(0.05 / 21)] * 21
