"""Ctrl-C and SIGTERM: the command ends at once, with one line that says what is kept and which command goes on.

An exception would have to find its way out through libraries that catch it, or print it and go on. So the process ends
right here. Nothing is lost by it: a file has its final name only when it is whole, and the system takes back the locks.

This module imports nothing that takes time, so that it is there before anything else is.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable
from typing import Any

from vitrail.visible import visible

#: Commands that go on where they were stopped. The others start anew.
GO_ON = frozenset(
    {"study", "demo", "say", "extract", "learn", "ground", "evaluate", "compare", "finetune", "toyland", "run"}
    | {"steer evaluate"}
)


def watch() -> Callable[[], None]:
    """From now on, SIGINT ends this process with exit code 130, SIGTERM with 143; one that is ignored stays so.

    Returns:
        What to call when the work is done: a signal that comes later changes nothing any more. Python itself would put
        its own handlers back while it shuts down, and end without a word.
    """
    owner = os.getpid()

    def stop(number: int, _frame: Any) -> None:
        if os.getpid() == owner:  # not a child process, whose parent says it
            _tidy()
            os.write(2, f"\n{visible(message(sys.argv[1:]))}\n".encode())
        os._exit(128 + number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)

    def ignore() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is stop:
                signal.signal(number, signal.SIG_IGN)

    return ignore


def message(arguments: list[str]) -> str:
    """What a command that was stopped says: what is kept, and which command goes on."""
    command = shlex.join(["vitrail", *arguments])
    name, inner = [*(a for a in arguments if not a.startswith("-")), "", ""][:2]
    if name == "serve":
        return "The viewer has stopped."
    if GO_ON & {name, f"{name} {inner}"}:
        return f"Stopped. What was finished is kept. To go on from there: {command}"
    return f"Stopped before the end; what was finished is kept. To start anew: {command}"


def _tidy() -> None:
    """Removes files that are not finished, and locks; shows the cursor that a progress bar may have hidden."""
    files, lock = (sys.modules.get(f"vitrail.artifacts.{name}") for name in ("files", "lock"))
    for module, name in ((files, "discard_partial_files"), (lock, "forget_locks")):
        if module is not None and hasattr(module, name):  # it may just be on its way in
            getattr(module, name)()
    if os.isatty(2):
        os.write(2, b"\x1b[?25h")
