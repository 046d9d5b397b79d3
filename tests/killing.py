"""A long piece of work that is killed as often as it can be: after each part that it finishes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vitrail.artifacts import kept


class Killed(BaseException):
    """The process ends here."""


def killed_after_each_part(run: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Calls `run` again and again; each call ends as soon as one part is written, until one gets through.

    Returns:
        How many parts were written.
    """
    times, write = 0, kept.write_sealed

    def last(path: Path, values: dict) -> None:
        write(path, values)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(kept, "write_sealed", last)
        while True:
            try:
                run()
                return times
            except Killed:
                times += 1


def content(folder: Path) -> dict[str, bytes]:
    """Name → content of all files in a folder."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
