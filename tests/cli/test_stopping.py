"""Ctrl-C and SIGTERM at any moment: one line, the exit code of the signal, no traceback, and the run goes on after."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from vitrail.activations import open_activations
from vitrail.cli.stopping import message
from vitrail.steering import TASKS, SteeringOptions, make_steering

#: A folder with a study.
SHELF = Path(__file__).parents[1] / "artifacts" / "v0.1.0"
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


@pytest.fixture(scope="module")
def steering(lmm, samples, tmp_path_factory) -> Path:
    """A steering to search the strength of."""
    out, options = tmp_path_factory.mktemp("steering"), SteeringOptions(layers=(4,))
    make_steering(lmm, TASKS["colour"], samples[:30], options, method="mean", out=out / "colour", progress=False)
    return out / "colour"


@pytest.fixture
def commands(captioned, world, steering, tmp_path) -> dict[str, list[object]]:
    """Commands that write to `tmp_path / "out"`, by name."""
    out, samples = ["--out", tmp_path / "out"], ["--data", captioned(tmp_path / "d"), "--limit", 12]
    scenes = ["--data", world, "--split", "train", "--limit", 12]
    return {
        "say": ["say", *samples, "--batch-size", 2, *out],
        "extract": ["extract", "--word", "dog", "--require", "truth", *samples, "--batch-size", 2, *out],
        "study": ["study", "--word", "dog", "--require", "truth", *samples, "--concepts", 2, *out],
        "finetune": ["finetune", *samples, "--words", "dog", "--steps", 40, "--batch-size", 2, *out],
        "search": ["steer", "search", steering, "--task", "colour", *scenes, "--strengths", "0.5,1", *out],
        "serve": ["serve", SHELF, "--port", 0],
    }


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it asks Linux which signals a process catches")
@pytest.mark.parametrize("name", ["extract", "study", "finetune", "say", "search", "serve"])
@pytest.mark.parametrize("number", CODES)
def test_a_signal_at_any_moment_ends_the_command_with_one_line(commands, tmp_path, name, number):
    arguments = commands[name]
    after = random.Random(f"{name}{number}").uniform(0, 6)
    code, said = stopped(arguments, tmp_path, after, number)
    assert code == CODES[number] or (code == 0 and name != "serve"), said  # 0: it was done before
    if code:
        assert said == message(list(map(str, arguments)))
    assert not list((tmp_path).rglob("*.partial"))
    assert not list((tmp_path).rglob(".vitrail.lock"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="it asks Linux which signals a process catches")
def test_a_signal_before_anything_is_imported_is_heard_and_the_run_goes_on(commands, tmp_path):
    arguments = commands["extract"]
    code, said = stopped(arguments, tmp_path, 0, signal.SIGINT)
    assert code == 130
    assert "vitrail extract --word dog" in said
    again = begun(arguments, tmp_path)
    again.communicate(timeout=120)
    assert again.returncode == 0
    assert len(open_activations(tmp_path / "out" / "activations")) == 12


@pytest.mark.parametrize("number", CODES)
def test_the_viewer_ends_at_once_with_the_connections_that_are_open(tmp_path, number):
    viewer = begun(["serve", SHELF, "--port", 0], tmp_path)
    address = urlsplit(viewer.stdout.readline().split()[-1])
    asks = (
        f"POST /api/images HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n"
    )
    with ExitStack() as opened:
        for sent in (b"", b"GET / HT", asks.encode()):  # the last is being answered: its body is waited for
            one = opened.enter_context(socket.create_connection((address.hostname, address.port), timeout=20))
            one.sendall(sent)
        time.sleep(0.3)
        viewer.send_signal(number)
        assert viewer.communicate(timeout=20)[1].strip() == "The viewer has stopped."
        assert viewer.returncode == CODES[number]
        assert one.recv(100) == b""


@pytest.mark.parametrize("number", CODES)
def test_a_signal_after_the_work_is_done_changes_nothing(number):
    late = f"import atexit, os, sys; atexit.register(os.kill, os.getpid(), {int(number)}); sys.argv[1:] = ['--version']"
    done = subprocess.run([sys.executable, "-c", f"{late}; from vitrail.cli import main; main()"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_is_said_tells_commands_that_go_on_from_those_that_start_anew():
    assert message(["study", "--word", "hot dog"]).endswith("To go on from there: vitrail study --word 'hot dog'")
    assert message(["steer", "evaluate", "s"]).endswith("To go on from there: vitrail steer evaluate s")
    assert message(["--debug", "steer", "search", "s"]).endswith("To start anew: vitrail --debug steer search s")
    assert message([]).endswith("vitrail")
