"""Every command takes a URL where it takes a folder: what lies there is what would lie on this disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from vitrail.artifacts.remote import file_system

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
