"""The batch size is found by doubling: until that makes samples no faster, memory runs out, or samples do."""

from __future__ import annotations

import pytest
import torch

from vitrail.lmm import sizing
from vitrail.lmm.sizing import FIRST, LAST, best_size, measuring

CPU = torch.device("cpu")


class Machine:
    """A model whose batch of n takes `seconds(n)`, on a clock of its own, and `memory(n)` bytes of the `left` ones."""

    def __init__(self, monkeypatch, seconds, memory=lambda n: 0, left=10**12) -> None:
        self.now, self.tried, self.seconds, self.memory, self.peak = 0.0, [], seconds, memory, 0
        monkeypatch.setattr(sizing.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(sizing, "memory_left", lambda device: left)
        monkeypatch.setattr(sizing, "_of_process", lambda name: self.peak if name == "VmHWM" else 0)

    def load(self, n: int):
        def run() -> None:
            self.tried.append(n)
            self.now += self.seconds(n)
            self.peak = self.memory(n)

        return run


@pytest.mark.parametrize(
    ("seconds", "n", "found"),
    [
        (lambda n: 1.0, 10**6, LAST),  # as fast however many
        (lambda n: 1.0 * n, 10**6, FIRST),  # no faster together
        (lambda n: max(1.0, n / 64), 10**6, 64),
        (lambda n: 1.0, 300, 32),  # 64 would leave fewer than eight batches
        (lambda n: 1.0, 5, FIRST),
    ],
)
def test_it_is_the_largest_that_makes_samples_a_tenth_faster(monkeypatch, seconds, n, found):
    machine = Machine(monkeypatch, seconds)
    assert best_size(machine.load, n, CPU) == found
    assert machine.tried[:2] == [FIRST, FIRST]  # the first is a rehearsal
    assert max(machine.tried) <= 2 * found


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")], ids=repr)
@pytest.mark.parametrize("where", ["load", "run"])
def test_what_does_not_fit_is_not_taken(monkeypatch, error, where):
    machine = Machine(monkeypatch, lambda n: 1.0)

    def load(n: int):
        def run() -> None:
            if n > 16:
                raise error
            machine.load(n)()

        if where == "load" and n > 16:
            raise error
        return run

    assert best_size(load, 10**6, CPU) == 16
    assert best_size(lambda n: (_ for _ in ()).throw(error), 10**6, CPU) == 1  # not even the smallest fits


def test_doubling_ends_before_half_of_the_memory_that_is_left_is_needed(monkeypatch):
    machine = Machine(monkeypatch, lambda n: 1.0, memory=lambda n: 10 * n, left=1000)
    assert best_size(machine.load, 10**6, CPU) == 32  # 64 would need 640
    assert max(machine.tried) == 32


def test_an_error_that_is_not_about_memory_is_raised(monkeypatch):
    machine = Machine(monkeypatch, lambda n: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        best_size(machine.load, 100, CPU)


def test_the_peak_of_a_block_is_measured_and_begins_anew_with_each():
    with measuring(CPU) as large:
        kept = torch.ones(50_000_000)  # 200 MB
    del kept
    with measuring(CPU) as small:
        torch.ones(1000)
    assert large.memory > 150_000_000
    assert small.memory < 50_000_000
    assert large.seconds > 0
