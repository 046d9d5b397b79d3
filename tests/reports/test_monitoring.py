"""The page of a watch shows its alarms, with their causes and pictures, and every stream over time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.monitoring.conftest import observations

from vitrail.monitoring import Watch, WatchOptions, read_status, read_windows, reference_of
from vitrail.reports.monitoring import watch_page, when


@pytest.fixture(scope="module")
def watch(dog_study, tmp_path_factory) -> Path:
    """A watch with an alarm, whose captions are markup."""
    folder = tmp_path_factory.mktemp("watch")
    reference = reference_of(dog_study, observations(300, 1), out=folder / "reference")
    watching = Watch(reference, out=folder / "watch", options=WatchOptions(window=100))
    watching.write([*observations(200, 4), *observations(300, 8, snow=0.6, start=9000.0)])
    watching.close()
    return folder / "watch"


def test_the_page_says_what_moved_and_shows_pictures(watch, tmp_path):
    status, windows = read_status(watch), read_windows(watch)
    page = watch_page(status, windows, out=tmp_path / "w.html").read_text()
    (alarm,) = status.alarms
    assert "1 alarm stands" in page
    assert str(alarm.moved[0].stream) in page.replace("&#39;", "'")
    assert page.count('class="photo"') == len(alarm.before) + len(alarm.now) == 10
    assert page.count("<svg") == len(status.baseline.streams)
    rows = re.findall(r"<tr><th scope=.row.>(\d)</th>", page)
    assert rows == [str(i + 1) for i in range(len(windows))] == ["1", "2", "3", "4", "5"]


def test_an_acknowledged_alarm_no_longer_stands_on_the_page(watch, tmp_path):
    import shutil

    from vitrail.monitoring import acknowledge

    shutil.copytree(watch, tmp_path / "w", ignore=shutil.ignore_patterns("*.lock"))
    status = acknowledge(tmp_path / "w")
    page = watch_page(status, read_windows(watch), out=tmp_path / "w.html").read_text()
    assert "all alarms are acknowledged" in page
    assert "alarm stands" not in page


def test_figures_of_windows_are_those_of_their_observations(watch):
    status, windows = read_status(watch), read_windows(watch)
    snowy = [o.strengths[2] > 0 for o in observations(200, 4)]
    assert windows[0].rates[2] == pytest.approx(sum(snowy[:100]) / 100)
    assert windows[1].means[2] == pytest.approx(sum(o.strengths[2] for o in observations(200, 4)[100:]) / 100)
    assert [w.n for w in windows] == [100] * 5
    assert status.baseline.rates[2] == pytest.approx(sum(o.strengths[2] > 0 for o in observations(300, 1)) / 300)


def test_captions_are_never_markup(dog_study, tmp_path):
    from dataclasses import replace

    hostile = [replace(o, caption=f"{o.caption} <script>alert(1)</script>") for o in observations(300, 1)]
    reference = reference_of(dog_study, hostile, out=tmp_path / "r")
    watching = Watch(reference, out=tmp_path / "w")
    snowy = observations(300, 8, snow=0.6)
    watching.write([replace(o, caption=f"{o.caption} <script>alert(1)</script>") for o in snowy])
    watching.close()
    page = watch_page(read_status(tmp_path / "w"), read_windows(tmp_path / "w"), out=tmp_path / "w.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_moments_are_told_in_utc():
    assert when(86_400 * 365.0) == "1971-01-01 00:00"
    assert when(float("inf")) == "–"
