"""Every command takes a URL where it takes a folder: what lies there is what would lie on this disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from tests.monitoring.conftest import observations

from vitrail.artifacts.remote import file_system
from vitrail.monitoring.sinks.files import ToJsonl
from vitrail.serving.collection import Collection

pytestmark = pytest.mark.filterwarnings("ignore")  # of the server, and of the libraries that speak to it


def there(url: str) -> dict[str, bytes]:
    """Name → content of all files at a URL."""
    fs, path = file_system(url)
    return {name.removeprefix(f"{path}/"): fs.cat_file(name) for name in fs.find(path)}


def here(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def line(run, world: Path, study: str, between=lambda: None) -> None:
    """extract → learn → ground → report → verify → show."""
    data = ("--data", world, "--split", "train", "--limit", 120, "--require", "truth")
    for words in (
        ("extract", "--word", "dog", *data, "--device", "cpu", "--out", study),
        ("learn", study, "--concepts", 3),
        ("ground", study, "--device", "cpu"),
        ("report", study),
        ("verify", study),
        ("show", study),
    ):
        between()
        code, out, err = run(*words)
        assert code == 0, err
        assert "remote/open" not in out + err  # people read the URL


def test_the_whole_line_on_s3_is_that_on_a_disk_each_command_on_a_fresh_machine(
    run, bucket, world, tmp_path, monkeypatch
):
    url = f"{bucket}/{uuid4().hex}/dog"
    machines = iter(range(9))
    line(run, world, url, lambda: monkeypatch.setenv("VITRAIL_CACHE", str(tmp_path / f"machine{next(machines)}")))
    line(run, world, str(tmp_path / "dog"))
    remote, local = there(url), here(tmp_path / "dog")
    assert remote.keys() == local.keys()
    assert {name for name in remote if remote[name] != local[name]} == set()
    assert not any((tmp_path / f"machine{n}" / "remote" / "open" / "x").exists() for n in range(6))


class Bucket(MemoryFileSystem):
    """What gcsfs is to its users, in memory: a store of buckets behind `gs://`."""

    protocol = ("gs", "gcs")
    store: ClassVar[dict[str, object]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("gs://").removeprefix("gcs://"))


@pytest.mark.parametrize("protocol", ["memory", "gs"])
def test_texts_ranks_and_merge_work_at_a_url(run, world, tmp_path, protocol):
    fsspec.register_implementation("gs", Bucket, clobber=True)
    url, data = f"{protocol}://{uuid4().hex}", ("--data", world, "--split", "train", "--limit", 4, "--device", "cpu")
    for rank in (0, 1):
        code, out, err = run(
            "say", *data, "--max-new-tokens", 3, "--world-size", 2, "--rank", rank, "--out", f"{url}/a"
        )
        assert code == 0, err
        assert f"vitrail merge {url}/a" in out
    code, out, err = run("merge", f"{url}/a", "--json")
    assert code == 0, err
    assert json.loads(out) == {"folder": f"{url}/a", "kept": 4}
    code, _, err = run("say", *data, "--max-new-tokens", 3, "--out", tmp_path / "a")
    assert code == 0, err
    assert there(f"{url}/a") == here(tmp_path / "a")
    code, out, err = run(
        "extract", *data, "--word", "a", "--require", "predicted", "--said", f"{url}/a", "--out", f"{url}/b"
    )
    assert code == 0, err
    assert "activations/manifest.json" in there(f"{url}/b")


#: Commands on a study, and a file that each writes; AT is where folders lie.
ON_A_STUDY = [
    (
        "finetune --words grass,sand --steps 2 --batch-size 2 --checkpoints 1 --data WORLD --limit 40 --out AT/tuned",
        "tuned/checkpoints/step-00002/manifest.json",
    ),
    ("compare --a AT/dog --b AT/dog --whole 2 --data WORLD --split train --out AT/shift", "shift/report.html"),
    ("evaluate AT/dog --no-noise --random 5 --data WORLD", "dog/evaluation/evaluation.json"),
    ("steer make --task colour --layers 6 --data WORLD --limit 30 --out AT/steering", "steering/manifest.json"),
    ("steer apply AT/steering --data WORLD --limit 3", None),
    (
        "steer search AT/steering --task colour --strengths 1 --data WORLD --limit 8 --out AT/search",
        "search/search.json",
    ),
    (
        "steer evaluate AT/steering --task colour --steps 1 --data WORLD --limit 12 --out AT/table",
        "table/evaluate.json",
    ),
    ("monitor fit AT/dog --observations SEEN --out AT/reference", "reference/manifest.json"),
    (
        "monitor run AT/dog --data WORLD --limit 3 --sink jsonl:OWN --reference AT/reference --out AT/watch",
        "watch/watch.json",
    ),
    ("monitor check SEEN --reference AT/reference --out AT/checked", "checked/watch.json"),
    ("monitor status AT/checked", None),
    ("verify AT", None),
]


def test_every_command_on_a_study_works_at_a_url(run, bucket, world, lmm, monkeypatch, tmp_path):
    pytest.importorskip("peft")
    monkeypatch.setattr("vitrail.cli.choices.ModelChoice.load", lambda self, progress, layers=(): lmm)
    monkeypatch.setattr("vitrail.cli.choices.StudyModel.load", lambda self, activations: lmm)
    seen, url = tmp_path / "seen.jsonl", f"{bucket}/{uuid4().hex}"
    ToJsonl(str(seen)).write(observations(60, 1, K=3))
    given = {"AT": url, "WORLD": world, "SEEN": seen, "OWN": tmp_path / "o.jsonl"}
    line(run, world, f"{url}/dog")
    for typed, written in ON_A_STUDY:
        words = typed.split()
        for name, value in given.items():
            words = [word.replace(name, str(value)) for word in words]
        code, out, err = run(*words)
        assert code == 0, (typed, err)
        assert "remote/open" not in out + err, typed
        assert written is None or written in there(url), typed
    assert not any(".vitrail" in name for name in there(url))
    served: list[str] = []
    monkeypatch.setattr(
        "vitrail.serving.run.serve",
        lambda folder, *_, **__: served.extend(
            f"{found.entry.kind} {found.entry.id}" for found in Collection(folder).list()
        ),
    )
    code, _, err = run("serve", url)
    assert code == 0, err
    assert any(one.startswith("study dog") for one in served)


def test_an_error_names_the_url(run):
    url = f"memory://{uuid4().hex}/dog"
    for command in ("show", "verify", "learn", "report"):
        code, out, err = run(command, url)
        assert code != 0
        assert (url in err, "remote/open" in out + err) == (True, False), err


@pytest.mark.parametrize("command", ["extract", "say", "study"])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_loaded(run, bucket, world, monkeypatch, command):
    def loaded(*_, **__):
        raise AssertionError

    monkeypatch.setattr("vitrail.samples.load_samples", loaded)
    monkeypatch.setattr("vitrail.lmm.load", loaded)
    word = () if command == "say" else ("--word", "dog")
    code, out, err = run(command, *word, "--data", world, "--out", "s3://nowhere/dog")
    assert (code, out) == (1, "")
    assert "s3://nowhere/dog is not there" in err
