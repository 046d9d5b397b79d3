"""What observations are written, and read again."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from vitrail.errors import ArtifactError
from vitrail.monitoring import Observation, read_observations
from vitrail.monitoring.sinks import Sink, as_sinks
from vitrail.monitoring.sinks.files import ToParquet

ONE = Observation(
    word="dog",
    layer=8,
    form="dogs",
    time=1.5,
    activations=(0.0, 2.5),
    strengths=(0.0, 1.25),
    error=0.5,
    caption='two "dogs"\nin snow — 狗',
    sample="a/7",
    thumbnail=b"\xff\xd8",
    tags={"tenant": "x"},
)
LEAST = Observation("dog", "final", "dog", 2.0, (1.0,), (1.0,), float("nan"), ordinary=False)


def written(sink: Sink, batches: list[list[Observation]]) -> None:
    for batch in batches:
        sink.write(batch)
    sink.flush()
    sink.close()


@pytest.mark.parametrize(("kind", "name"), [("jsonl", "dogs.jsonl"), ("parquet", "dogs")])
def test_what_is_written_is_read_again(tmp_path, kind, name):
    for part in ([[ONE, LEAST], [ONE]], [[replace(ONE, time=9.0)]]):  # a second run adds to the first
        (sink,) = as_sinks([f"{kind}:{tmp_path / 'new' / name}"])
        written(sink, part)
    again = read_observations(tmp_path / "new" / name)
    assert [o.as_dict() for o in again] == [o.as_dict() for o in (ONE, LEAST, ONE, replace(ONE, time=9.0))]


def test_each_line_of_jsonl_is_an_object(tmp_path):
    written(as_sinks([f"jsonl:{tmp_path / 'a.jsonl'}"])[0], [[ONE, LEAST]])
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert lines[0]["caption"] == ONE.caption
    assert lines[1]["error"] is None


def test_parquet_files_are_of_limited_size_and_none_is_overwritten(tmp_path):
    written(ToParquet(str(tmp_path), rows=2), [[ONE] * 3, [ONE] * 2])
    written(ToParquet(str(tmp_path), rows=2), [[ONE]])
    assert sorted(p.name for p in tmp_path.glob("*.parquet")) == [f"part-00000{i}.parquet" for i in range(4)]
    assert len(read_observations(tmp_path)) == 6


def test_a_function_is_a_sink():
    got: list[Observation] = []
    written(as_sinks([got.extend])[0], [[ONE], [LEAST]])
    assert got == [ONE, LEAST]


@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", b'{"word": "dog"}\n'), ("a.jsonl", b"no json\n"), ("a.parquet", b"PAR1")]
)
def test_damaged_observations_are_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=f"{name} is damaged, or holds no observations"):
        read_observations(tmp_path / name)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(ArtifactError, match="There are no observations at"):
        read_observations(tmp_path / "a.jsonl")


def test_a_sink_that_cannot_be_opened_says_so_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="is a folder"):
        as_sinks([f"jsonl:{tmp_path}"])
    with pytest.raises(ArtifactError, match="is a file"):
        as_sinks([f"parquet:{tmp_path / 'file'}"])


def test_a_file_that_cannot_be_written_says_so(tmp_path):
    (sink,) = as_sinks([f"jsonl:{tmp_path / 'a.jsonl'}"])
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(ArtifactError, match=r"Cannot write to .*a\.jsonl"):
        sink.write([ONE])
