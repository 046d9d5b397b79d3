"""The content of files: bytes, text, JSON. A DataError names the file and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitrail.artifacts import JSONError, open_regular, parse, parse_first
from vitrail.errors import DataError


def read_bytes(path: Path, size: int = -1) -> bytes:
    """The first `size` bytes of the file, or all of them.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        with open_regular(path) as file:
            return file.read(size)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error})") from error


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark.

    Raises:
        DataError: the file cannot be read, or is not UTF-8.
    """
    return to_text(read_bytes(path), str(path))


def to_text(content: bytes, where: str) -> str:
    """`content` as UTF-8, without a byte order mark; `where` is its place, for the message.

    Raises:
        DataError: it is not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 text (byte {error.start})") from error


def to_json(text: str, where: str) -> Any:
    """The JSON value that `text` is; `where` is its place, for the message.

    Raises:
        DataError: it is none, or one that cannot be trusted; see `artifacts.json_text`.
    """
    try:
        return parse(text)
    except JSONError as error:
        raise DataError(f"{where}: malformed JSON: {error}: {text[:60]!r}") from error


def parse_json(path: Path, text: str) -> tuple[Any, int]:
    """The first JSON object or list in `text`, which is the content of `path`, and the offset at which it ends.

    Raises:
        DataError: `text` does not begin with an object or a list, or the JSON is malformed.
    """
    start = len(text) - len(text.lstrip())
    if not text.startswith(("{", "["), start):
        raise DataError(f"{path} is no JSON, it begins with {text[:20]!r}")
    try:
        return parse_first(text, start)
    except JSONError as error:
        raise DataError(f"{path}: malformed JSON: {error}") from error
