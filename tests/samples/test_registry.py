"""The registry of formats: a new one is one line, and the documentation lists them all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import vitrail.samples
from vitrail.errors import DataError, UsageError
from vitrail.samples import FORMATS, Format, Found, ReadingOptions, Sample, Source, load_samples


def read_two_columns(source: Source) -> Found:
    rows = [line.split(" = ") for line in source.text.splitlines()]
    root = source.root
    return Found(
        [None] * len(rows), lambda i: (f"line {i}", Sample(rows[i][0], root / rows[i][0], (rows[i][1],))), root
    )


TWO_COLUMNS = Format(
    "a list of captions", "a list of captions (.captions)", lambda s: s.path.suffix == ".captions", read_two_columns
)


def test_a_format_is_added_by_one_line_of_the_registry(tmp_path, monkeypatch):
    path = tmp_path / "mine.captions"
    path.write_text("a.png = a dog\nb.png = a cat\n")
    with pytest.raises(DataError, match="is no JSON"):
        load_samples(path)
    monkeypatch.setattr("vitrail.samples.load.FORMATS", [*FORMATS, TWO_COLUMNS])
    samples = load_samples(path, images=tmp_path)
    assert [(s.id, s.references, s.image) for s in samples] == [
        ("a.png", ("a dog",), tmp_path / "a.png"),
        ("b.png", ("a cat",), tmp_path / "b.png"),
    ]
    with pytest.raises(UsageError, match="is a list of captions, which has no use for annotations="):
        load_samples(path, reading=ReadingOptions(annotations=Path("answers.json")))
    with pytest.raises(DataError, match=r"samples come from .*a list of captions \(\.captions\)"):
        load_samples(tmp_path / "absent")


def test_the_table_of_formats_names_each_one_in_the_order_in_which_they_are_tried():
    assert vitrail.samples.__doc__ is not None
    rows = re.findall(r"^\| ([^|]+?) +\|", vitrail.samples.__doc__, re.MULTILINE)
    assert rows[1:] == [kind.name for kind in FORMATS]


def test_no_format_takes_a_binary_file_or_a_missing_one_for_its_own(tmp_path):
    binary = tmp_path / "x.bin"
    binary.write_bytes(b"\xff\x00\xfe")
    for source in (Source(binary), Source(tmp_path / "nothing")):
        assert [kind.name for kind in FORMATS if kind.recognises(source)] == []
