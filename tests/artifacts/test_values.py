"""Dataclasses as JSON values and back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from vitrail.artifacts import plain, read_json, typed, write_json
from vitrail.errors import ArtifactError


@dataclass(frozen=True)
class Figure:
    value: float
    interval: tuple[float, float]
    note: str | None = None


@dataclass(frozen=True)
class Found:
    figures: tuple[Figure, ...]
    named: dict[str, float]
    one: Figure | None = None
    layer: int | str = 0
    word: str | None = None


def test_what_is_written_is_read_back_and_null_is_nan_where_a_number_is_meant(tmp_path):
    found = Found((Figure(math.nan, (1.0, math.nan)),), {"a": math.nan, "b": 2.0}, Figure(1.0, (0.0, 2.0)), "final")
    write_json(tmp_path / "found.json", found)
    again = read_json(tmp_path / "found.json", Found, "find")
    assert repr(again) == repr(found)
    assert plain(again) == plain(found)
    assert again.word is None


def test_a_value_that_may_be_absent_stays_absent():
    assert typed({"figures": [], "named": {}, "one": None, "word": None}, Found) == Found((), {})


def test_a_file_without_the_fields_is_damaged(tmp_path):
    (tmp_path / "found.json").write_text('{"figures": [{"value": "x"}], "named": {}}')
    with pytest.raises(ArtifactError, match=r"found\.json is damaged .*Remove .* and find again"):
        read_json(tmp_path / "found.json", Found, "find")
