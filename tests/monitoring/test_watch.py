"""A watch is quiet while nothing changes, and names what moved, since when, when something does."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from tests.monitoring.conftest import observations

from vitrail.errors import ArtifactError
from vitrail.monitoring import (
    Alarm,
    Status,
    Summary,
    Watch,
    WatchOptions,
    acknowledge,
    merge,
    read_status,
    read_summary,
)

CHANGE = [*observations(200, 7), *observations(500, 8, snow=0.5, start=2000.0)]


def watched(reference, out, found, cut=37, **more) -> Status:
    watch = Watch(reference, out=out, **more)
    for start in range(0, len(found), cut):
        watch.write(found[start : start + cut])
    watch.close()
    return read_status(out)


@pytest.fixture(scope="module")
def changed(reference, tmp_path_factory) -> tuple[Status, list[Alarm]]:
    told: list[Alarm] = []
    out = tmp_path_factory.mktemp("watch") / "dog"
    return watched(reference, out, CHANGE, tell=told.append), told


def test_nothing_is_raised_while_nothing_changes(reference, tmp_path):
    status = watched(reference, tmp_path / "w", observations(900, 4))
    assert (status.observations, status.windows, status.alarms) == (900, 3, ())


def test_an_alarm_names_what_moved_how_far_and_since_when(changed):
    status, told = changed
    (alarm,) = status.alarms
    assert status.standing == (alarm,)
    assert told == [alarm]
    first = alarm.moved[0]
    assert (first.stream.concept == 2) or first.stream.name == "snow"
    names = {m.stream.name if m.stream.kind == "word" else m.stream.concept for m in alarm.moved}
    assert 2 in names
    assert first.rises
    assert (first.rate_before, first.rate_now) == (pytest.approx(0.15, abs=0.06), pytest.approx(0.5, abs=0.12))
    assert abs(alarm.since - 200) <= 40
    assert alarm.observation < 400
    assert "rises from" in str(alarm)


def test_a_sparse_classifier_finds_the_smallest_set_that_explains_it(changed):
    (alarm,) = changed[0].alarms
    assert alarm.explained is not None
    assert {s.concept == 2 or s.name == "snow" for s in alarm.explained.streams[:1]} == {True}
    assert len(alarm.explained.streams) <= 4
    assert alarm.explained.auroc > 0.6


def test_images_of_the_reference_stand_beside_those_that_moved_the_stream(changed, reference):
    (alarm,) = changed[0].alarms
    assert len(alarm.before) == len(alarm.now) == 5
    assert {p.thumbnail for p in alarm.before} <= set(reference.thumbnails)
    assert min(p.value for p in alarm.now) > 0.9
    assert [p.value for p in alarm.before] == sorted(p.value for p in alarm.before)


def test_alarms_do_not_depend_on_how_observations_arrive(changed, reference, tmp_path):
    """But for the evidence, which is rounded where the text is written."""
    status = watched(reference, tmp_path / "w", CHANGE, cut=64)
    assert [a.observation for a in status.alarms] == [a.observation for a in changed[0].alarms]


def test_a_watch_that_was_closed_goes_on_where_it_stopped(changed, reference, tmp_path):
    for part in (CHANGE[:100], CHANGE[100:250], CHANGE[250:]):
        status = watched(reference, tmp_path / "w", part, cut=50)
    (alarm,) = status.alarms
    (whole,) = changed[0].alarms
    assert status.observations == 700
    assert (alarm.since, alarm.moved[0].stream) == (whole.since, whole.moved[0].stream)
    assert abs(alarm.observation - whole.observation) <= 10  # other ties were broken


def test_an_acknowledged_alarm_stands_no_longer_and_a_new_watch_begins(reference, tmp_path):
    out = tmp_path / "w"
    watched(reference, out, CHANGE)
    assert acknowledge(out).standing == ()
    assert len(watched(reference, out, observations(300, 11, start=5000.0)).alarms) == 1
    again = watched(reference, out, observations(400, 12, snow=0.5, start=9000.0))
    assert [a.number for a in again.standing] == [1]


def test_summaries_of_the_windows_add_up_to_that_of_all(reference, tmp_path, outlier):
    found = [*observations(650, 4), replace(outlier, time=1100.0)]
    watched(reference, tmp_path / "w", found, options=WatchOptions(window=300))
    files = sorted((tmp_path / "w" / "windows").glob("*.parquet"))
    made, whole = merge(map(read_summary, files)), Summary.of(found, reference)
    assert [read_summary(f).n for f in files] == [300, 300, 50]
    assert (made.n, made.outliers) == (650, 1)
    np.testing.assert_array_equal(made.bins, whole.bins)
    assert made.top == whole.top


def test_each_window_is_tested_against_the_reference(changed, reference, tmp_path):
    watched(reference, tmp_path / "w", [*observations(300, 4), *observations(300, 5, snow=0.5)])
    quiet, moved = (json.loads((tmp_path / "w" / "windows" / f"00000{i}.json").read_text())["test"] for i in (0, 1))
    assert min(quiet["q"]) > 0.05
    assert moved["q"][2] < 0.001
    assert moved["joint"] <= 0.05
    assert moved["superiority"][2] > 0.6


def test_observations_of_other_words_and_layers_are_passed_over(reference, tmp_path):
    others = [replace(o, word="cat") for o in observations(10)] + [replace(o, layer=3) for o in observations(10)]
    assert watched(reference, tmp_path / "w", others).observations == 0


def test_a_new_watch_begins_after_the_horizon(reference, tmp_path):
    options = WatchOptions(window=100, horizon=200)
    status = watched(reference, tmp_path / "w", observations(450, 4), options=options)
    assert status.begins == 4


def test_one_folder_is_of_one_reference_and_one_writer(reference, tmp_path):
    watched(reference, tmp_path / "w", observations(10))
    with pytest.raises(ArtifactError, match=r"options.window is 300 there and 50 here"):
        Watch(reference, out=tmp_path / "w", options=WatchOptions(window=50))
    watch = Watch(reference, out=tmp_path / "w")
    failed: list[Exception] = []

    def another() -> None:
        try:
            Watch(reference, out=tmp_path / "w")
        except ArtifactError as error:
            failed.append(error)

    thread = threading.Thread(target=another)
    thread.start()
    thread.join()
    watch.close()
    assert failed


def test_a_webhook_gets_the_alarm_as_json(reference, tmp_path):
    got: list[dict] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        status = watched(reference, tmp_path / "w", CHANGE, tell=f"http://127.0.0.1:{server.server_port}/")
        thread.join()
    assert got[0]["text"] == str(status.alarms[0])
    assert got[0]["observation"] == status.alarms[0].observation


def test_a_webhook_that_does_not_answer_stops_nothing(reference, tmp_path, caplog):
    assert len(watched(reference, tmp_path / "w", CHANGE, tell="http://127.0.0.1:9/").alarms) == 1
    assert "could not tell http://127.0.0.1:9/" in caplog.text


def test_what_is_no_watch_is_said(tmp_path):
    with pytest.raises(ArtifactError, match="There is no watch at"):
        read_status(tmp_path)
