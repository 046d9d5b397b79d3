"""The content of files: bytes, text, JSON; a DataError names the file and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vitrail.errors import DataError

ACCEPTED = (
    "COCO captions (Karpathy's JSON or its own), a VQAv2 questions JSON, Visual Genome's region descriptions, JSONL, "
    "CSV or Parquet with an `image` column, WebDataset shards (.tar), a folder of images, a folder written by "
    "`save_to_disk`, or the name of a dataset on the Hugging Face hub (org/name)"
)


def read_bytes(path: Path, size: int = -1) -> bytes:
    """The first `size` bytes of the file, or all of them."""
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({type(error).__name__}: {error})") from error


def read_text(path: Path) -> str:
    """The text of the file, which is UTF-8, with or without a byte order mark."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); samples come from {ACCEPTED}") from error


def parse_json(path: Path, text: str) -> tuple[Any, int]:
    """The first JSON object or list in `text`, the content of `path`, and where it ends."""
    start = len(text) - len(text.lstrip())
    if not text.startswith(("{", "["), start):
        raise DataError(f"{path} is no JSON, it begins with {text[:20]!r}; samples come from {ACCEPTED}")
    try:
        return json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: malformed JSON at line {error.lineno}, column {error.colno}: {error.msg}") from error
