"""Lines that are added to are those that were written, or the line that is not is named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vitrail.artifacts import append_lines, read_lines, state_of, verify
from vitrail.errors import ArtifactError

#: Texts with what other readers take for ends of lines, and a number that is none.
LINES = [{"a": i, "text": text, "x": x} for i, (text, x) in enumerate([("é\u2028狗", 0.1), ("\x85\r", None), ("c", 2)])]


@pytest.fixture
def path(tmp_path) -> Path:
    append_lines(tmp_path / "new" / "a.jsonl", LINES[:2])
    append_lines(tmp_path / "new" / "a.jsonl", [{**LINES[2], "x": float("nan")}, LINES[0]])
    return tmp_path / "new" / "a.jsonl"


def test_what_is_added_is_read_and_each_line_is_json(path):
    expected = [*LINES[:2], {**LINES[2], "x": None}, LINES[0]]
    assert read_lines(path) == expected
    found = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    assert [{k: v for k, v in one.items() if k != "digest"} for one in found] == expected
    assert [c.condition for c in verify(path.parent)] == ["whole"]


#: Fault → what of the lines is left, and what is said.
FAULTS = {
    "a flipped bit": (lambda lines: [lines[0].replace(b'"a": 0', b'"a": 1'), *lines[1:]], "line 1 is not what was"),
    "a digest": (lambda lines: [*lines[:3], lines[3].replace(b'"digest": "', b'"digest": "0')], "line 4 is not what"),
    "no digest": (lambda lines: [*lines[:3], b'{"a": 1}\n'], "line 4 is no JSON object with a digest"),
    "a line less": (lambda lines: [lines[0], *lines[2:]], "line 2 is not .* lines before it are missing"),
    "no first line": (lambda lines: lines[1:], "line 1 is not"),
    "lines that changed places": (lambda lines: [lines[1], lines[0], *lines[2:]], "line 1 is not"),
    "a line twice": (lambda lines: [*lines, lines[-1]], "line 5 is not"),
    "cut": (lambda lines: [*lines[:3], lines[3][:-9]], "line 4 does not end"),
    "the last end of line": (lambda lines: [*lines[:3], lines[3][:-1]], "line 4 does not end"),
    "no text": (lambda lines: [*lines[:2], b"\xff\xfe\n", lines[3]], "line 3 is no JSON"),
    "nothing": (lambda lines: [], "it has no lines"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_was_changed_since_is_refused_by_its_line(path, what):
    change, says = FAULTS[what]
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(ValueError, match=says):
        read_lines(path)
    (found,) = verify(path.parent)
    assert found.condition == ("foreign" if what == "nothing" else "damaged")
    assert what == "nothing" or says.split(".*")[0].strip()[5:] in found.says


def test_a_line_that_a_killed_process_left_unfinished_is_cut_off_and_the_next_follows_the_whole_ones(path):
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"a": 7, "te')
    append_lines(path, [LINES[1]])
    assert path.read_bytes().startswith(whole)
    assert read_lines(path)[4:] == [LINES[1]]


@pytest.mark.parametrize("content", [b'{"image": "a.png"}\n', b"no end of line", b"[1]\n", b"\n"])
def test_nothing_is_added_to_lines_of_others(tmp_path, content):
    (tmp_path / "a.jsonl").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"a\.jsonl holds lines that Vitrail did not write"):
        append_lines(tmp_path / "a.jsonl", LINES)
    assert (tmp_path / "a.jsonl").read_bytes() == content
    assert state_of(tmp_path / "a.jsonl") == "foreign"


def test_a_line_longer_than_what_is_read_of_the_end_is_followed(tmp_path):
    long = [{"text": "x" * 400_000}, {"text": "y" * 90_000}]
    for one in long:
        append_lines(tmp_path / "a.jsonl", [one])
    assert read_lines(tmp_path / "a.jsonl") == long


def test_two_processes_add_to_one_file_at_a_time(tmp_path):
    add = "from vitrail.artifacts import append_lines; from pathlib import Path\n"
    add += f"for i in range(60): append_lines(Path({str(tmp_path / 'a.jsonl')!r}), [{{'i': i}}] * 3)"
    both = [subprocess.Popen([sys.executable, "-c", add]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert sorted(line["i"] for line in read_lines(tmp_path / "a.jsonl")) == sorted([*range(60)] * 6)
