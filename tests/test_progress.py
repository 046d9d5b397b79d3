"""Progress: bars where someone watches, a function if one is given, and nothing anywhere else."""

from __future__ import annotations

import io
import logging
import sys
from types import SimpleNamespace

import pytest

from vitrail.progress import announce, foretell, in_notebook, shown, silent


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    return stderr(Terminal(), monkeypatch)


def stderr(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Puts `stream` in place of stderr; pytest puts its own there between the setup of a test and its call."""
    monkeypatch.setattr("vitrail.progress.sys", SimpleNamespace(stderr=stream, modules=sys.modules))
    monkeypatch.setenv("COLUMNS", "100")
    return stream


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    return stderr(io.StringIO(), monkeypatch)


def test_a_terminal_sees_a_bar_for_each_step(terminal):
    with shown(True) as tell:
        tell("extract", 3, 6)
        tell("extract", 6, 6)
        tell("learn", 1, 1)
    assert "6/6" in terminal.getvalue()
    assert {"extract", "learn"} <= set(terminal.getvalue().split())


def test_a_step_that_begins_again_counts_again(terminal):
    with shown(True) as tell:
        for done, total in ((4, 4), (0, 9), (9, 9)):
            tell("passes", done, total)
    assert "4/4" in terminal.getvalue()
    assert terminal.getvalue().rstrip().rpartition("passes")[2].count("9/9") == 1


@pytest.mark.usefixtures("terminal")
def test_an_exception_closes_the_bars():
    with pytest.raises(RuntimeError), shown(True) as tell:  # noqa: PT012
        tell("extract", 1, 6)
        raise RuntimeError
    assert all(bar.disable for bar in tell._bars.values())  # as tqdm marks a bar that is closed


def test_nobody_watches_a_pipe(pipe):
    with shown(True) as tell:
        assert tell is silent
    announce("Writing to here", True)
    assert pipe.getvalue() == ""


def test_false_is_quiet_in_a_terminal(terminal):
    with shown(False) as tell:
        tell("extract", 1, 2)
    announce("Writing to here", False)
    assert terminal.getvalue() == ""


def test_a_function_is_told_itself(terminal):
    told = []
    with shown(lambda *step: told.append(step)) as tell:
        tell("extract", 1, 2)
    assert told == [("extract", 1, 2)]
    assert terminal.getvalue() == ""


def test_what_is_announced_is_logged_and_seen_in_a_terminal(terminal, caplog):
    with caplog.at_level(logging.INFO, "vitrail"):
        announce("Writing to here", True)
    assert terminal.getvalue() == "Writing to here\n"
    assert caplog.messages == ["Writing to here"]


@pytest.mark.parametrize(
    ("config", "notebook"), [({"IPKernelApp": {}}, True), ({"TerminalIPythonApp": {}}, False), (None, False)]
)
def test_a_kernel_is_a_notebook_and_a_shell_is_a_terminal(monkeypatch, config, notebook):
    shell = None if config is None else SimpleNamespace(config=config)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert in_notebook() is notebook


def test_the_parts_of_long_work_are_named_before_it_the_longest_first(caplog):
    caplog.set_level("INFO", "vitrail.foretold")
    foretell({"a page": 0, "contenders": 600, "training LoRA": 1400})
    foretell({"nothing": 0})
    said = "About 2000 passes over a sample, the longest part first: training LoRA 70%, contenders 30%"
    assert caplog.messages == [said]
