"""Ctrl-C and SIGTERM at any moment: one line, the exit code of the signal, no traceback, and the run goes on after."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vitrail.activations import open_activations
from vitrail.cli.stopping import message

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def begun(arguments: list[object], folder: Path) -> subprocess.Popen[str]:
    """`vitrail ARGUMENTS` in a process of its own, from the moment that it listens to signals."""
    command = [sys.executable, "-m", "vitrail", *map(str, arguments)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a job in the background ignores it
    )
    while process.poll() is None and not _listens(process.pid):
        time.sleep(0.002)
    return process


def _listens(pid: int) -> bool:
    """Whether a process catches SIGTERM, as the system knows it."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def stopped(arguments: list[object], folder: Path, after: float, number: signal.Signals) -> tuple[int, str]:
    """What a command that was stopped after some seconds gives: its exit code, and what it says at the end."""
    process = begun(arguments, folder)
    time.sleep(after)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    return process.returncode, err.strip().splitlines()[-1] if err.strip() else ""


def commands(data: Path, out: Path) -> dict[str, list[object]]:
    samples = ["--data", data, "--limit", 12]
    return {
        "extract": ["extract", "--word", "dog", "--require", "truth", *samples, "--batch-size", 2, "--out", out],
        "study": ["study", "--word", "dog", "--require", "truth", *samples, "--concepts", 2, "--out", out],
        "finetune": ["finetune", *samples, "--words", "dog", "--steps", 40, "--batch-size", 2, "--out", out],
    }


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it asks Linux which signals a process catches")
@pytest.mark.parametrize("name", ["extract", "study", "finetune"])
@pytest.mark.parametrize("number", CODES)
def test_a_signal_at_any_moment_ends_the_command_with_one_line(captioned, tmp_path, name, number):
    arguments = commands(captioned(tmp_path / "d"), tmp_path / "out")[name]
    after = random.Random(f"{name}{number}").uniform(0, 6)
    code, said = stopped(arguments, tmp_path, after, number)
    assert code in (CODES[number], 0), said  # 0: it was done before
    if code:
        assert said == message(list(map(str, arguments)))
    assert not list((tmp_path).rglob("*.partial"))
    assert not list((tmp_path).rglob(".vitrail.lock"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it asks Linux which signals a process catches")
def test_a_signal_before_anything_is_imported_is_heard_and_the_run_goes_on(captioned, tmp_path):
    arguments = commands(captioned(tmp_path / "d"), tmp_path / "out")["extract"]
    code, said = stopped(arguments, tmp_path, 0, signal.SIGINT)
    assert code == 130
    assert "vitrail extract --word dog" in said
    again = begun(arguments, tmp_path)
    again.communicate(timeout=120)
    assert again.returncode == 0
    assert len(open_activations(tmp_path / "out" / "activations")) == 12


@pytest.mark.parametrize("number", CODES)
def test_a_signal_after_the_work_is_done_changes_nothing(number):
    late = f"import atexit, os, sys; atexit.register(os.kill, os.getpid(), {int(number)}); sys.argv[1:] = ['--version']"
    done = subprocess.run([sys.executable, "-c", f"{late}; from vitrail.cli import main; main()"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_is_said_tells_commands_that_go_on_from_those_that_start_anew():
    assert message(["study", "--word", "hot dog"]).endswith("To go on from there: vitrail study --word 'hot dog'")
    assert message(["--debug", "steer", "search", "s"]).endswith("To start anew: vitrail --debug steer search s")
    assert message([]).endswith("vitrail")
