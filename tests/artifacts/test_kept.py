"""Parts of a piece of work are kept until the whole is written, and none is taken that something else decided."""

from __future__ import annotations

import math
from dataclasses import dataclass
from uuid import uuid4

import pytest

from vitrail.artifacts import KeptParts, at, check_place, verify, writing
from vitrail.artifacts.files import PARTS
from vitrail.artifacts.remote import file_system

DECIDED = {"seed": 1, "words": frozenset({"red", "blue"}), "options": {"alpha": 0.5}}


@dataclass(frozen=True)
class Figure:
    value: float
    names: tuple[str, ...]


class Making:
    """Makes a figure, and counts how often."""

    def __init__(self, value: float = 0.1 + 0.2) -> None:
        self.value, self.times = value, 0

    def __call__(self) -> Figure:
        self.times += 1
        return Figure(self.value, ("a", "ä"))


def test_a_part_is_made_once_and_is_the_same_when_it_is_read(tmp_path):
    making = Making()
    first = KeptParts(tmp_path, DECIDED).value("a b", making, Figure)
    again = KeptParts(tmp_path, dict(reversed(DECIDED.items()))).value("a b", making, Figure)
    assert first == again == Figure(0.1 + 0.2, ("a", "ä"))
    assert making.times == 1
    assert math.isnan(KeptParts(tmp_path, DECIDED).value("nan", Making(math.nan), Figure).value)


@pytest.mark.parametrize(
    ("decided", "name"),
    [
        ({**DECIDED, "seed": 2}, "a b"),
        ({**DECIDED, "words": frozenset({"red"})}, "a b"),
        ({**DECIDED, "more": None}, "a b"),
        (DECIDED, "a-b"),
        (DECIDED, "a b" + 60 * "c"),
    ],
)
def test_what_something_else_decided_is_never_taken(tmp_path, decided, name):
    KeptParts(tmp_path, DECIDED).value("a b", Making(1.0), Figure)
    assert KeptParts(tmp_path, decided).value(name, Making(2.0), Figure).value == 2.0


def test_nor_is_one_of_other_versions_of_libraries(tmp_path, monkeypatch):
    KeptParts(tmp_path, DECIDED).value("a", Making(1.0), Figure)
    monkeypatch.setattr("vitrail.artifacts.kept.versions", lambda: {"torch": "0"})
    assert KeptParts(tmp_path, DECIDED).value("a", Making(2.0), Figure).value == 2.0


def test_a_damaged_part_is_made_again_with_a_warning(tmp_path, caplog):
    parts = KeptParts(tmp_path, DECIDED)
    parts.value("a", Making(1.0), Figure)
    [path] = (tmp_path / PARTS).iterdir()
    path.write_text(path.read_text().replace("1.0", "3.0"))
    assert parts.value("a", Making(2.0), Figure).value == 2.0
    assert "made again" in caplog.text


def test_parts_are_no_obstacle_are_called_unfinished_and_go_when_the_whole_is_written(tmp_path):
    parts = KeptParts(tmp_path, DECIDED)
    for one in (parts, KeptParts(tmp_path, {"seed": 7})):
        one.value("a", Making(), Figure)
    state = parts.place("training", tmp_path / "other")
    state.mkdir()
    (state / "loss.json").write_text("{}")
    check_place(tmp_path, "evaluation")
    assert [(c.kind, c.condition) for c in verify(tmp_path)] == [("part", "unfinished")] * 3
    parts.remove()
    assert list(tmp_path.iterdir()) == []
    parts.remove()


def test_at_a_url_they_lie_there_until_the_whole_is_written():
    url, making = f"memory://{uuid4().hex}/a", Making()
    with at(url) as folder, writing(folder):
        KeptParts(folder, DECIDED).value("a", making, Figure)
    with at(url) as folder, writing(folder):  # another machine
        parts = KeptParts(folder, DECIDED)
        parts.value("a", making, Figure)
        assert making.times == 1
        parts.remove()
    fs, path = file_system(url)
    assert not fs.exists(path) or fs.find(path) == []


def test_nothing_is_kept_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts, making = KeptParts(None, DECIDED), Making()
    assert parts.value("a", making, Figure) == parts.value("a", making, Figure)
    assert making.times == 2
    assert parts.place("a", tmp_path / "other") == tmp_path / "other"
    parts.remove()
    assert list(tmp_path.iterdir()) == []
