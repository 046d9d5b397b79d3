"""`vitrail monitor` as it is typed."""

from __future__ import annotations

import json

import pytest
from tests.monitoring.conftest import observations

import vitrail
from vitrail.monitoring.sinks.files import ToJsonl

JSON = "--json"


def test_monitor_run_observes_what_is_said_of_samples(run, dog_study, world, tmp_path):
    sinks = f"jsonl:{tmp_path / 'a.jsonl'},parquet:{tmp_path / 'a'}"
    code, out, _ = run(
        "monitor", "run", dog_study.folder, "--data", world, "--split", "test", "--sink", sinks, "--json"
    )
    assert code == 0
    told = json.loads(out)
    observed = vitrail.read_observations(tmp_path / "a.jsonl")
    assert told["answers"] == 40
    assert told["observations"] == len(observed) > 0
    assert all("dog" in o.caption for o in observed)
    assert [o.sample for o in vitrail.read_observations(tmp_path / "a")] == [o.sample for o in observed]


@pytest.fixture
def files(dog_study, tmp_path):
    """Observations in which nothing changes, and in which snow comes, and a reference."""
    for name, found in {
        "week": observations(400, 1),
        "quiet": observations(300, 4),
        "snow": observations(400, 8, snow=0.5),
    }.items():
        ToJsonl(str(tmp_path / f"{name}.jsonl")).write(found)
    return tmp_path


def fitted(run, study, files):
    arguments = ("--observations", files / "week.jsonl", "--out", files / "reference", "--words", 6)
    return run("monitor", "fit", study.folder, *arguments)


def test_a_reference_says_what_it_can_detect(run, dog_study, files):
    code, out, _ = fitted(run, dog_study, files)
    assert code == 0
    assert "A reference of 400 answers that say 'dog'" in out
    assert "in 95 of 100 cases" in out


def test_status_exits_with_3_while_an_alarm_stands(run, dog_study, files):
    fitted(run, dog_study, files)
    watch = ("--reference", files / "reference", "--out", files / "watch")
    code, out, _ = run("monitor", "check", files / "quiet.jsonl", *watch)
    assert (code, "No alarm." in out) == (0, True)
    code, out, _ = run("monitor", "check", files / "snow.jsonl", *watch)
    assert code == 3
    assert "ALARM 0: 'dog': " in out
    assert "rises from" in out
    code, out, _ = run("monitor", "status", files / "watch", JSON)
    told = json.loads(out)
    assert (code, told["stands"], told["observations"]) == (3, True, 700)
    assert told["alarms"][0]["moved"][0]["rate_now"] > 0.4
    code, out, _ = run("monitor", "report", files / "watch")
    assert (code, (files / "watch" / "report.html").exists()) == (0, True)
    code, out, _ = run("monitor", "acknowledge", files / "watch")
    assert (code, "Acknowledged 0" in out) == (0, True)
    assert run("monitor", "status", files / "watch")[0] == 0


def test_windows_merge_to_one_summary(run, dog_study, files):
    fitted(run, dog_study, files)
    for name in ("quiet", "snow"):
        out = files / f"replica-{name}"
        run("monitor", "check", files / f"{name}.jsonl", "--reference", files / "reference", "--out", out)
    code, out, _ = run(
        "monitor", "merge", files / "replica-quiet", files / "replica-snow", "--out", files / "all.parquet", JSON
    )
    assert code == 0
    assert json.loads(out)["n"] == 700
    gone = next((files / "replica-snow" / "windows").glob("*.parquet"))
    gone.unlink()
    code, _, err = run("monitor", "merge", files / "replica-snow", "--out", files / "less.parquet")
    assert code == 1
    assert f"{gone.name} is missing" in err
    assert not (files / "less.parquet").exists()


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("check nowhere.jsonl --reference R --out o", "There are no observations at nowhere.jsonl"),
        ("check week.jsonl --out o", "Missing option '--reference'"),
        ("merge nowhere --out o.parquet", "nowhere is damaged, or holds no summary"),
        ("merge week.jsonl --out o.json", "should end in .parquet"),
        ("report nowhere", "There is no watch at nowhere"),
        ("status nowhere", "There is no watch at nowhere"),
        ("acknowledge nowhere", "There is no watch at nowhere"),
    ],
)
def test_wrong_input_is_said(run, files, monkeypatch, typed, says):
    monkeypatch.chdir(files)
    code, _, err = run("monitor", *typed.split())
    assert code in (1, 2)
    assert says in err


def test_a_model_can_be_watched_against_a_reference(run, dog_study, files, world):
    fitted(run, dog_study, files)
    arguments = ("--data", world, "--split", "test", "--sink", f"jsonl:{files / 'a.jsonl'}")
    watch = ("--reference", files / "reference", "--out", files / "watch")
    assert run("monitor", "run", dog_study.folder, *arguments, *watch)[0] == 0
    told = json.loads(run("monitor", "status", files / "watch", JSON)[1])
    assert told["observations"] == len(vitrail.read_observations(files / "a.jsonl"))
