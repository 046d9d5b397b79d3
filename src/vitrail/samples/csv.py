"""Samples from CSV: one row each, or one row per caption of an image, as Flickr30k has them."""

from __future__ import annotations

import csv
from typing import Any

from vitrail.errors import DataError
from vitrail.samples.fields import utf8
from vitrail.samples.files import to_json
from vitrail.samples.formats import Format, Found, Source
from vitrail.samples.tables import REFERENCE_COLUMNS, found_in_rows, refuse_twice

#: Names of columns in Flickr30k's files → our names.
_NAMES = {"image_name": "image", "filename": "image", "file_name": "image", "comment": "caption", "raw": "captions"}
_DELIMITERS = "|,\t;"


def _is_csv(source: Source) -> bool:
    """Whether the file begins with a line of column names, one of them the image's."""
    if source.path.suffix.lower() not in (".csv", ".tsv", ".txt", ".token"):
        return False
    return "image" in _columns(source.decoded.split("\n", 1)[0])


def _read(source: Source) -> Found:
    """One sample per row; one per image where several rows have the same image and there are no ids."""
    path, text = source.path, source.text
    first = text.split("\n", 1)[0]
    columns = _columns(first)
    refuse_twice(columns, str(path))
    delimiter = max(_DELIMITERS, key=first.count)
    try:
        rows = list(csv.reader(text.splitlines()[1:], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise DataError(f"{path}: malformed CSV: {error}") from error
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for n, cells in enumerate(rows, 2):
        if not cells:
            continue
        where = f"{path}:{n}"
        if len(cells) != len(columns):
            raise DataError(f"{where}: {len(cells)} cells, but there are {len(columns)} columns: {', '.join(columns)}")
        row = _row(columns, cells, where)
        key = row.get("id") or row.get("image") or where
        if key in found and "id" not in row:
            _add_captions(found[key][1], row, where)
        else:
            found[where if key in found else key] = where, row
    return found_in_rows(list(found.values()), source.root)


def _columns(line: str) -> list[str]:
    delimiter = max(_DELIMITERS, key=line.count)
    names = [name.strip().strip('"').lower() for name in line.split(delimiter)]
    return [_NAMES.get(name, name) for name in names]


def _row(columns: list[str], cells: list[str], where: str) -> dict[str, Any]:
    """The cells by column, without empty ones; a JSON list as a list."""
    row: dict[str, Any] = {}
    for name, cell in zip(columns, cells, strict=True):
        value = utf8(cell.strip(), where)
        if not value:
            continue
        if name in ("captions", "references", "answers") and value.startswith("["):
            row[name] = to_json(value, f"{where}: field {name!r}")
        else:
            row[name] = value
    return row


def _add_captions(row: dict[str, Any], more: dict[str, Any], where: str) -> None:
    """Adds to `row` the captions of `more`, another row with the same image."""
    named = [name for name in REFERENCE_COLUMNS if name in more]
    if not named or any(name not in row for name in named) or set(more) - set(row):
        raise DataError(f"{where} has the image of an earlier row, {more.get('image')!r}, and no caption of its own")
    for name in named:
        row[name] = [*_as_list(row[name]), *_as_list(more[name])]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


CSV = Format("a CSV file", "CSV with a column `image`", _is_csv, _read)
