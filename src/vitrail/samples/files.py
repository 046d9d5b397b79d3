"""The content of files: bytes, text, JSON. A DataError names the file and what is wrong with it."""

from __future__ import annotations

import codecs
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


def read_text(path: Path, encoding: str | None = None) -> str:
    """The text of a file; see `to_text`.

    Raises:
        DataError: the file cannot be read, or is not in that encoding.
    """
    return to_text(read_bytes(path), str(path), encoding)


#: How a text begins that says its encoding by itself; UTF-32 first, because it begins like UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def to_text(content: bytes, where: str, encoding: str | None = None) -> str:
    """`content` as text, without a byte order mark: in `encoding`, or as its mark says, or UTF-8.

    Args:
        where: its place, for the message.
        encoding: None where nobody named one.

    Raises:
        DataError: it is not in that encoding.
    """
    kind = encoding or next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        return content.decode(kind).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        name = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8"}.get(kind, kind)
        other = "" if encoding else "; if it is in another encoding, name it with --encoding, such as latin-1"
        raise DataError(f"{where} is not {name} text (byte {error.start}){other}") from error


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
