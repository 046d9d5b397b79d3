"""Two processes never write to one folder at a time, and no lock outlives its holder."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import platform
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vitrail.artifacts import lock as module
from vitrail.artifacts import one_writer, writing
from vitrail.artifacts.lock import LOCK
from vitrail.errors import ArtifactError

HOLD = """
import sys
from vitrail.artifacts import writing
with writing(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path):
    """`tmp_path`/a/b is held by another process; it gives the process."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "a" / "b"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize(
    ("place", "free"), [("a/b", False), ("a", False), ("a/b/c/d", False), (".", False), ("a/x", True)]
)
def test_a_folder_that_another_process_writes_is_refused_and_so_are_those_above_and_below(tmp_path, held, place, free):
    if free:
        with writing(tmp_path / place):
            return
    says = rf"a/b is being written by another process \(process {held.pid} on "
    with pytest.raises(ArtifactError, match=says), writing(tmp_path / place):
        raise AssertionError
    assert not (tmp_path / "a" / "b" / "c").exists()


def test_a_lock_ends_with_its_holder_even_if_that_is_killed(tmp_path, held):
    held.kill()
    held.wait()
    assert (tmp_path / "a" / "b" / LOCK).exists()
    with writing(tmp_path / "a"):
        pass
    with writing(tmp_path / "a" / "b"):
        pass
    assert not (tmp_path / "a" / "b" / LOCK).exists()


def test_the_same_thread_may_hold_a_folder_and_those_in_it_and_another_thread_may_not(tmp_path):
    said = []

    def other():
        try:
            with writing(tmp_path / "a"):
                said.append("in")
        except ArtifactError as error:
            said.append(str(error))

    with writing(tmp_path / "a"), writing(tmp_path / "a"), writing(tmp_path / "a" / "b"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "Another thread" in said[0]
    other()
    assert said[1] == "in"
    assert not (tmp_path / "a").exists()  # nothing was written


def test_what_is_written_stays_and_the_lock_does_not(tmp_path):
    @one_writer
    def write(*, out):
        (Path(out) / "x").write_text("x")

    write(out=tmp_path / "a" / "b")
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["x"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):  # what the writing itself says
        write(out=tmp_path / "file")


NO_LOCKS = {
    "nobody": (None, True),
    "a process that is gone": ({"pid": 2**22 + 1, "host": platform.node()}, True),
    "a process that is there": ({"pid": os.getppid(), "host": platform.node()}, False),
    "a process of another machine": ({"pid": 1, "host": "elsewhere"}, False),
}


@pytest.mark.parametrize(("mark", "free"), NO_LOCKS.values(), ids=NO_LOCKS)
def test_on_a_file_system_without_locks_the_file_itself_is_the_mark(tmp_path, monkeypatch, mark, free):
    def none(*_):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", none)
    monkeypatch.setattr(module, "PATIENCE", 0.1)
    if mark is not None:
        (tmp_path / LOCK).write_text(json.dumps(mark))
    if free:
        with writing(tmp_path):
            assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    else:
        with pytest.raises(ArtifactError, match="is being written by another process"), writing(tmp_path):
            raise AssertionError
