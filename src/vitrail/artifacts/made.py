"""Which command wrote an artifact, kept beside its manifest: `vitrail show PATH --as-run` makes a file of it.

    {"run": "steer make", "given": {"study": {"path": "../dog"}, "to": "3", "out": {"path": "."}}, …, "digest": …}

Options are kept as they were typed. A path that leads to artifacts is kept as it is seen from this one, so that folders
may be moved together; any other path is kept absolute.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrail.artifacts.files import mirrors, url_of
from vitrail.artifacts.values import write_sealed

#: The file beside a manifest.
MADE = "made.json"
#: The entry that names the folder that a command writes.
OUT = "out"


@dataclass(frozen=True)
class Command:
    """A command at work.

    Args:
        run: its name: "steer make".
        given: option or argument → what was typed: a text, several, or whether a flag is set.
        out: the folder that it writes, where an option names one.
        here: the folder that it was typed in.
        places: the options that name files and folders.
    """

    run: str
    given: Mapping[str, Any]
    out: Path | None
    here: Path
    places: frozenset[str]


_NOW: ContextVar[Command | None] = ContextVar("command", default=None)


@contextmanager
def made_by(command: Command) -> Iterator[None]:
    """Manifests that are written in the `with` block are of artifacts that `command` makes."""
    token = _NOW.set(command)
    try:
        yield
    finally:
        _NOW.reset(token)


def remember(folder: Path) -> None:
    """Keeps beside the manifest in `folder` which command wrote it; outside of commands nothing."""
    command = _NOW.get()
    if command is None or command.run == "merge":  # which completes what other commands began
        return
    given = {
        name: _placed(value, command.here, folder) if name in command.places else value
        for name, value in command.given.items()
    }
    if command.out is not None:
        given[OUT] = _from(folder, command.out)
    write_sealed(folder / MADE, {"run": command.run, "given": given})


def _placed(value: Any, here: Path, folder: Path) -> Any:
    """What was typed, with paths that are there as another folder needs them."""
    if isinstance(value, list):
        return [_placed(one, here, folder) for one in value]
    if not isinstance(value, str) or not value:
        return value
    if (url := url_of(value)) is not None:  # the folder that mirrors it, where this artifact is in the same
        path = next((m.folder for m in mirrors if m.url == url and m.folder in folder.parents), None)
        return value if path is None else _from(folder, path)
    path = here / value
    if not os.path.exists(path):
        return value
    return _from(folder, path) if path.is_dir() and _has_artifacts(path) else str(path.absolute())


def _from(folder: Path, path: Path) -> dict[str, str]:
    return {"path": Path(os.path.relpath(path, folder)).as_posix()}


def _has_artifacts(folder: Path) -> bool:
    """Whether a folder is an artifact, or holds some at once, as a study does."""
    return (folder / "manifest.json").is_file() or any(folder.glob("*/manifest.json"))
