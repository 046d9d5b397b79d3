"""Samples from files of records: JSONL, JSON lists, and Parquet. A record holds its image, or the image's path."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vitrail.artifacts import JSONError, parse
from vitrail.artifacts.parquet import check_parquet
from vitrail.errors import DataError
from vitrail.samples.columns import NAMES, normal
from vitrail.samples.fields import short
from vitrail.samples.formats import Format, Found, Source
from vitrail.samples.images import IMAGE_SUFFIXES, encoded_in
from vitrail.samples.records import Table, columns_read, found_in, has_images

#: The row groups of Parquet files that are in memory, and the bytes that they may have together, unless it is one.
_row_groups: dict[tuple[Path, str, int, int], pa.ChunkedArray] = {}
_KEPT = 256 * 2**20


# ---- JSON ------------------------------------------------------------------------------------------------------------


def _is_jsonl(source: Source) -> bool:
    if not source.is_file:
        return False
    if source.path.suffix in (".jsonl", ".ndjson"):
        return True
    first, _ = source.parsed
    return isinstance(first, dict) and has_images([name for name in first if name != "images"], source)


def _read_jsonl(source: Source) -> Found:
    """One record per line."""
    # not str.splitlines(): a JSON string may hold U+2028, which is no end of line here
    lines = [(f"{source.path}:{n}", line) for n, line in enumerate(source.text.split("\n"), 1) if line.strip()]
    rows, flaws = [], []
    for where, line in lines:
        try:
            rows.append((where, _parse_line(line, where)))
        except DataError as error:
            flaws.append(str(error))
    return found_in(Table(str(source.path), _columns(rows), rows, source.root, flaws), source)


def _parse_line(line: str, where: str) -> dict[str, Any]:
    try:
        record, problem = parse(line), "not an object"
    except JSONError as error:
        record, problem = None, str(error)
    if not isinstance(record, dict):
        raise DataError(f"{where}: JSONL has one JSON object a line, got {short(line)} ({problem})")
    return record


def _columns(rows: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    return list(dict.fromkeys(name for _, record in rows for name in record))


#: Fields of a JSON object that hold its records.
_HOLDERS = ("data", "samples", "records", "rows")


def _records(document: Any) -> list[tuple[str, Any]] | None:
    """The place of each record in a JSON document, and the record; None where it holds none.

    A document is a list of records, an object with such a list, an object whose values are records by their ids, or an
    object of captions by the name of their image.
    """
    if isinstance(document, dict):
        for holder in _HOLDERS:
            if isinstance(document.get(holder), list):
                return [(f"{holder}[{i}]", record) for i, record in enumerate(document[holder])]
        if document and all(isinstance(record, dict) for record in document.values()):
            return [(f"[{key!r:.80}]", {"id": key, **record}) for key, record in document.items()]
        if document and all(isinstance(said, str | list) and _names_image(key) for key, said in document.items()):
            return [(f"[{key!r:.80}]", {"image": key, "captions": said}) for key, said in document.items()]
        return None
    return [(f"[{i}]", record) for i, record in enumerate(document)] if isinstance(document, list) else None


def _names_image(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_SUFFIXES


def _are_records(source: Source) -> bool:
    """Whether the file is a JSON document of records with images; the first hundred decide."""
    records = _records(source.document)
    columns = _columns([("", record) for _, record in (records or [])[:100] if isinstance(record, dict)])
    return bool(columns) and has_images(columns, source)


def _read_records(source: Source) -> Found:
    records = [(f"{source.path}: {place}", record) for place, record in _records(source.document) or ()]
    rows = [(where, record) for where, record in records if isinstance(record, dict)]
    flaws = [f"{where} should be an object, got {short(r)}" for where, r in records if not isinstance(r, dict)]
    return found_in(Table(str(source.path), _columns(rows), rows, source.root, flaws), source)


# ---- Parquet ---------------------------------------------------------------------------------------------------------


def _read_parquet(source: Source) -> Found:
    """One sample per row; an image in the file stays there until it is opened."""
    path, root = source.path, source.root
    try:
        check_parquet(path)
        with pq.ParquetFile(path) as file:
            schema, sizes = file.schema_arrow, [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
            refuse_twice(schema.names, str(path))
            image = _image_column(schema, source)
            wanted = columns_read(schema.names, source, str(path), image)
            rows = file.read(columns=wanted).to_pylist() if wanted else [{} for _ in range(sum(sizes))]
            several = image is not None and _is_list(schema.field(image).type)
            lengths = _lengths(file, image) if several and image is not None else None
    except (pa.ArrowException, OSError, ValueError) as error:  # a ValueError of text that is not UTF-8
        raise DataError(f"{path}: damaged Parquet file ({error})") from error
    if len(rows) != sum(sizes) or (lengths is not None and len(lengths) != len(rows)):
        raise DataError(f"{path}: damaged Parquet file ({len(rows)} rows, and {sum(sizes)} by its metadata)")
    if image is not None:
        places = [(g, k) for g, size in enumerate(sizes) for k in range(size)]
        for i, (row, (group, k)) in enumerate(zip(rows, places, strict=True)):
            name, cell = f"{path.name} row {i}", partial(_parquet_cell, path, image, group, k)
            row[image] = encoded_in(name, root, cell, None if lengths is None else lengths[i] or 0)
    named = [(f"{path}: row {i}", row) for i, row in enumerate(rows)]
    return found_in(Table(str(path), schema.names, named, root, image=image), source)


def _lengths(file: pq.ParquetFile, column: str) -> list[int | None]:
    """How many images each row of a column of lists has."""
    groups = (file.read_row_group(g, columns=[column])[column] for g in range(file.num_row_groups))
    return [n for group in groups for n in pc.list_value_length(group).to_pylist()]


def _image_column(schema: pa.Schema, source: Source) -> str | None:
    """The column that holds images themselves: the one that the user chose, or the first that is called so."""
    chosen = source.reading.image_column
    names = [name for group in NAMES["image"] for name in group]
    called = sorted((names.index(normal(c)), c) for c in schema.names if normal(c) in names)
    column = chosen or (called[0][1] if called else None)
    return column if column in schema.names and _holds_bytes(schema.field(column).type) else None


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _holds_bytes(kind: pa.DataType) -> bool:
    if _is_list(kind):
        return _holds_bytes(kind.value_type)
    return pa.types.is_struct(kind) or not (pa.types.is_string(kind) or pa.types.is_large_string(kind))


def refuse_twice(columns: Sequence[str], where: str) -> None:
    """Raises `DataError` if two columns have the same name: one of them would win."""
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise DataError(f"{where} has two columns that are {', '.join(map(repr, twice))}; keep one of them")


def _parquet_cell(path: Path, column: str, group: int, row: int, number: int | None = None) -> Any:
    """The image of a row, or the one with this number of several."""
    try:
        cell = _parquet_images(path, column, group, path.stat().st_mtime_ns)[row].as_py()
        return cell if number is None else cell[number]
    except (pa.ArrowException, OSError, ValueError, IndexError, TypeError) as error:
        raise DataError(f"{path}: damaged Parquet file ({error})") from error


def _parquet_images(path: Path, column: str, group: int, modified: int) -> pa.ChunkedArray:
    """The images of a row group, which is read as a whole; those read last stay for the next rows."""
    key = path, column, group, modified
    if key not in _row_groups:
        with pq.ParquetFile(path) as file:
            images = file.read_row_group(group, columns=[column])[column]
        while _row_groups and sum(kept.nbytes for kept in _row_groups.values()) + images.nbytes > _KEPT:
            del _row_groups[next(iter(_row_groups))]
        _row_groups[key] = images
    return _row_groups[key]


JSONL = Format("a JSONL file", "JSONL or a JSON list with a field `image`", _is_jsonl, _read_jsonl)
RECORDS = Format("a JSON file of records", "JSON records of the usual data sets", _are_records, _read_records)
PARQUET = Format(
    "a Parquet file", "Parquet with a column `image`", lambda source: source.head == b"PAR1", _read_parquet
)
