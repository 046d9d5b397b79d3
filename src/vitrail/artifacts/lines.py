"""JSON lines that are added to. Each line carries a digest of itself and of the line before it, so that one that was
changed, removed, moved or cut is noticed. What was removed after a whole line at the end is not: such a file looks like
one that nobody has added to since.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from vitrail.artifacts.files import read_regular
from vitrail.artifacts.json_text import parse
from vitrail.artifacts.values import SEAL, plain, seal
from vitrail.errors import ArtifactError

#: How many bytes of a file's end are read first to find its last line.
_END = 1 << 16


def append_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """Adds objects to a file, one a line; several processes may add to one file. A last line that is not whole, as a
    process that was killed leaves, is cut off before.

    Raises:
        ArtifactError: the file holds lines without digests, which are somebody else's; or it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(file, fcntl.LOCK_EX)
            last, end = _last(path, file)
            file.truncate(end)
            text = b""
            for one in values:
                content = plain(one)
                last = _link(last, content)
                text += json.dumps({**content, SEAL: last}, ensure_ascii=False, allow_nan=False).encode() + b"\n"
            file.write(text)
    except OSError as error:
        full = " The disk is full." if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise ArtifactError(f"Cannot write to {path}: {error.strerror or error}.{full}") from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file by `append_lines`, without their digests.

    Raises:
        OSError: it cannot be read.
        ValueError: a line is not as it was written, or not where it was written, or there is none; its number is said.
    """
    *lines, rest = read_regular(path).split(b"\n")  # JSON has no other ends of lines; a text in it may
    if rest or not lines:
        raise ValueError(f"line {len(lines) + 1} does not end" if rest else "it has no lines")
    found, last = [], ""
    for number, line in enumerate(lines, 1):
        try:
            values = parse(line.decode())
            given = values.pop(SEAL)
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} is no JSON object with a digest") from error
        if given != (last := _link(last, values)):
            raise ValueError(f"line {number} is not what was written, or lines before it are missing")
        found.append(values)
    return found


def check_lines(path: Path) -> None:
    """Raises `ArtifactError` if there is a file to which `append_lines` cannot add."""
    if path.is_file():
        with path.open("rb") as file:
            _last(path, file)


def _link(last: str, values: Mapping[str, Any]) -> str:
    """The digest of a line after one with the digest `last`."""
    return seal({"after": last, "line": values})


def _last(path: Path, file: IO[bytes]) -> tuple[str, int]:
    """The digest of the last whole line, empty where there is no line, and where that line ends.

    Raises:
        ArtifactError: it has no digest.
    """
    size, length = file.seek(0, os.SEEK_END), _END
    if not size:
        return "", 0
    while True:
        start = file.seek(max(size - length, 0))
        data = file.read(size - start)
        end = data.rfind(b"\n")
        begin = data.rfind(b"\n", 0, max(end, 0))
        if start == 0 or begin >= 0:
            break
        length *= 8
    try:
        return str(parse(data[begin + 1 : end].decode())[SEAL]), start + end + 1
    except (ValueError, LookupError, TypeError) as error:
        raise ArtifactError(
            f"{path} holds lines that Vitrail did not write, or that were changed since: its last line has no digest. "
            "Name another file, or move it away."
        ) from error
