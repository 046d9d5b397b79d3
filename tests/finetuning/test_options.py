"""Options of training: the rate and the checkpoints."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from vitrail.finetuning import TrainingOptions


def test_the_rate_rises_then_falls_to_zero():
    plan = TrainingOptions(100, 4, 1.0, 5, 10, 3)
    rates = [plan.rate_at(step) for step in range(100)]
    assert rates[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert all(x >= y for x, y in itertools.pairwise(rates[4:]))
    assert 0 < rates[-1] < 0.02
    assert plan.checkpoint_steps() == [20, 40, 60, 80, 100]
    assert dataclasses.replace(plan, checkpoints=0).checkpoint_steps() == []
