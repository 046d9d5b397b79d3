"""`vitrail monitor` as it is typed."""

from __future__ import annotations

import json

import vitrail

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
