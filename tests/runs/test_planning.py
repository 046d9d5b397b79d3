"""A plan is a line through two rehearsals, keeps nothing, and is near to what the run then takes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest

import vitrail
from vitrail.activations import ExtractionOptions
from vitrail.errors import DataError, UsageError
from vitrail.extraction import extract_as
from vitrail.lmm import sizing
from vitrail.runs.planning import plan


class Clock:
    """A run that takes 10 s, and 0.5 s and 100 bytes for each item, on a clock of its own."""

    def __init__(self, monkeypatch, least: int = 1) -> None:
        self.now, self.least, self.runs, self.places = 0.0, least, [], []
        monkeypatch.setattr(sizing.time, "perf_counter", lambda: self.now)

    def run(self, items, out: Path) -> None:
        self.runs.append(len(items))
        self.places.append(out)
        if len(items) < self.least:
            raise DataError("too few")
        self.now += 10 + 0.5 * len(items)
        out.mkdir()
        (out / "a").write_bytes(b"x" * (40 + 100 * len(items)))


def test_time_and_disk_are_those_of_the_line_through_two_rehearsals(monkeypatch):
    clock = Clock(monkeypatch)
    found = plan(clock.run, range(1000), first=8, batch_size=8)
    assert clock.runs == [8, 16]
    assert found.seconds == pytest.approx(10 + 0.5 * 1000)
    assert found.seconds_once == pytest.approx(10)
    assert found.disk == 40 + 100 * 1000
    assert (found.n, found.batch_size, found.items) == (1000, 8, "samples")
    assert found.basis == "the run on the first 16 of 1000 samples"


@pytest.mark.parametrize("n", [1, 8, 12])
def test_a_small_run_is_rehearsed_whole(monkeypatch, n):
    clock = Clock(monkeypatch)
    found = plan(clock.run, range(n), first=8)
    assert clock.runs[-1] == n
    assert found.disk == 40 + 100 * n
    assert found.seconds == pytest.approx(10 + 0.5 * n)


def test_more_items_are_tried_where_they_are_too_few_for_the_run(monkeypatch):
    clock = Clock(monkeypatch, least=30)
    assert plan(clock.run, range(1000), first=8).disk == 40 + 100 * 1000
    assert clock.runs == [8, 16, 32, 64]
    with pytest.raises(DataError, match="too few"):
        plan(clock.run, range(20), first=8)


def test_nothing_is_kept(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    clock = Clock(monkeypatch)
    plan(clock.run, range(100), out=tmp_path / "out")
    assert not any(place.exists() for place in clock.places)
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_does_not_fit_says_so(monkeypatch):
    clock = Clock(monkeypatch)
    assert plan(clock.run, range(100)).fits
    monkeypatch.setattr("vitrail.runs.planning.same_volume_free", lambda path: 1000)
    assert not plan(clock.run, range(100)).fits


def test_no_items_have_no_plan():
    with pytest.raises(UsageError, match="no samples to plan for"):
        plan(lambda some, out: None, [])


def test_the_plan_of_an_extraction_is_near_to_what_it_takes(lmm, samples, monkeypatch, tmp_path):
    """Disk within two times, since the first samples may have the word more or less often; time within four times, that
    of the processor, for others may use the machine, too."""
    monkeypatch.setattr(sizing.time, "perf_counter", time.process_time)
    options = ExtractionOptions((-1,), require="predicted", batch_size=16)

    def run(some, out):
        return extract_as(lmm, some, "a", options, out=out)

    found = vitrail.plan(run, samples[:160], out=tmp_path, first=16, device=lmm.device, batch_size=16)
    start = time.process_time()
    made = run(samples[:160], tmp_path / "a")
    took = time.process_time() - start
    size = sum(path.stat().st_size for path in (tmp_path / "a").iterdir())
    assert 80 < made.counts.kept < 160
    assert size / 2 <= found.disk <= 2 * size
    assert took / 4 <= found.seconds <= 4 * took
    assert found.memory is None or found.memory < 2e9
    assert found.fits
