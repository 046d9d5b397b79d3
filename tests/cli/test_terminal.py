"""What a command writes holds no control character of somebody's data."""

from __future__ import annotations

import ast
import json
import logging
import unicodedata
from pathlib import Path

import pytest

import vitrail.cli
from vitrail.cli import terminal

MODULES = sorted(Path(vitrail.cli.__file__).parent.rglob("*.py"))
#: Clears the terminal, sets its title, colours in one byte, reads backwards, goes back to the begin of the line.
HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31m\u202e\rdog"
SEEN = r"\x1b[2J\x1b]0;title\x07\x9b31m\u202e\rdog"


def acting(text: str) -> list[str]:
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") and c != "\n"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with data whose ids, captions and file names are hostile."""
    record = {"image": f"{HOSTILE}.png", "id": HOSTILE, "caption": HOSTILE}
    (tmp_path / "one.jsonl").write_text(json.dumps(record))
    (tmp_path / "same.jsonl").write_text("\n".join([json.dumps(record)] * 2))
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / f"{HOSTILE}.txt").write_text("")
    monkeypatch.chdir(tmp_path)


#: What is typed, and whether the hostile text is shown on stdout or on stderr.
COMMANDS = {
    "words --data same.jsonl": "err",  # an error that names the id
    f"words --data {HOSTILE}": "err",  # a path that is typed
    "verify strange": "out",
    "extract --data one.jsonl --word dog --out o": "err",  # a file that is not there
    "extract --data one.jsonl --word cat --out o": "",
}


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("typed", COMMANDS, ids=ascii)
def test_no_command_writes_a_control_character(run, typed):
    _, out, err = run(*typed.split(" "))
    assert not acting(out + err)
    if COMMANDS[typed]:
        assert SEEN in {"out": out, "err": err}[COMMANDS[typed]]


@pytest.mark.parametrize(
    "write",
    [
        lambda: terminal.say(HOSTILE),
        lambda: terminal.print_json({HOSTILE: [HOSTILE]}),
        lambda: terminal.show_rows((HOSTILE,), [(HOSTILE,)]),
        lambda: terminal.stdout.print(terminal.styled(HOSTILE)),
        lambda: terminal.warn(HOSTILE),
    ],
)
def test_no_way_to_write_lets_a_control_character_through(write, capsys):
    write()
    out, err = capsys.readouterr()
    assert "dog" in out + err
    assert not acting(out + err)


def test_an_error_lets_none_through(capsys):
    with pytest.raises(SystemExit):
        terminal.fail(HOSTILE, 1)
    err = capsys.readouterr().err
    assert SEEN in err
    assert not acting(err)


def test_json_says_what_was_there(capsys):
    terminal.print_json({HOSTILE: HOSTILE})
    assert json.loads(capsys.readouterr().out) == {HOSTILE: HOSTILE}


def test_log_lines_hold_none_either():
    from vitrail.cli.application import Visible

    assert SEEN in Visible("%(message)s").format(logging.makeLogRecord({"msg": "%s", "args": (HOSTILE,)}))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_only_the_terminal_module_writes(path):
    """Nothing else of the command line calls `echo` or `print`."""
    if path.name == "terminal.py":
        return
    names = {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) != "stdout.print"
    }
    assert not names & {"echo", "secho", "print"}


def test_a_stage_that_takes_long_is_foretold_after_its_first_units(monkeypatch, capsys):
    now, told = [0.0], []
    monkeypatch.setattr(terminal.time, "perf_counter", lambda: now[0])
    progress = terminal.Foretelling(lambda *report: told.append(report))
    for seconds, report in (
        (1, ("load", 0, 1)),
        (9, ("load", 1, 1)),
        (10, ("extract", 0, 300)),
        (14, ("extract", 32, 300)),  # 4 s for 32
        (15, ("extract", 64, 300)),
        (16, ("score", 1, 4)),  # a stage without a beginning: since the last report
        (100, ("extract", 300, 300)),
        (103, ("search", 1, 100)),
    ):
        now[0] = float(seconds)
        progress(*report)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        "extract: 32 of 300 after 4.0 s, about 37.5 s for all",
        "search: 1 of 100 after 3.0 s, about 5 min 0 s for all",
    ]
    assert all("of memory at the peak, " in line and line.endswith(" are free") for line in lines)
    assert told[3] == ("extract", 32, 300)
    assert len(told) == 8
