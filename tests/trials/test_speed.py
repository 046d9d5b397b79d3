"""The time of generation, in turns."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from vitrail.steering import (
    TASKS,
)
from vitrail.trials import (
    speed,
)
from vitrail.trials.contenders import Contender
from vitrail.trials.speed import speeds

YES_NO = TASKS["yes-no"]


def test_times_are_those_of_as_many_tokens_for_everyone_in_turns(lmm, asked, monkeypatch):
    said: list[int] = []
    generate = type(lmm).generate

    def counted(self, inputs, n):
        before = self.model.generation_config.min_new_tokens
        assert before == n  # nobody may end early
        said.append(len(inputs["input_ids"]))
        return generate(self, inputs, n)

    monkeypatch.setattr(type(lmm), "generate", counted)
    clock = iter(np.cumsum([0, 9, 0, 9, 0, 1.0, 0, 2.0, 0, 4.0, 0, 2.0]).tolist())  # start and end of every run
    monkeypatch.setattr(speed, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    two = [Contender("none", contextlib.nullcontext), Contender("other", contextlib.nullcontext)]
    # rehearsal; then backwards: other 1 s, none 2 s; then forwards: none 4 s, other 2 s
    found = speeds(lmm, YES_NO, asked, two, repeats=2, n_tokens=5, rows=4)
    assert said == [4] * 6
    assert found[0].per_token == pytest.approx(3.0 / 20)
    assert found[1].added == pytest.approx(-1.5 / 20)
    assert found[1].share.mean == pytest.approx(-0.5)
    assert lmm.model.generation_config.min_new_tokens is None
