"""Samples from tables with one row per sample: JSONL and Parquet. A row holds its image, or the image's path."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vitrail.artifacts import JSONError, parse
from vitrail.errors import DataError
from vitrail.samples.fields import need, optional, texts
from vitrail.samples.formats import Format, Found, Source
from vitrail.samples.images import EncodedImage
from vitrail.samples.sample import Sample

REFERENCE_COLUMNS = ("caption", "captions", "references")
ANSWER_COLUMNS = ("answer", "answers")
TEXT_COLUMNS = ("id", "split", "question", "question_type", "answer_type", *REFERENCE_COLUMNS, *ANSWER_COLUMNS)

#: The row groups of Parquet files that are in memory, and the bytes that they may have together, unless it is one.
_row_groups: dict[tuple[Path, int, int], pa.ChunkedArray] = {}
_KEPT = 256 * 2**20


def _is_jsonl(source: Source) -> bool:
    if not source.is_file:
        return False
    if source.path.suffix in (".jsonl", ".ndjson"):
        return True
    first, _ = source.parsed
    return isinstance(first, dict) and "image" in first


def _read_jsonl(source: Source) -> Found:
    """One sample per line."""
    # not str.splitlines(): a JSON string may hold U+2028, which is no end of line here
    lines = [(f"{source.path}:{n}", line) for n, line in enumerate(source.text.split("\n"), 1) if line.strip()]
    return found_in_rows([(where, _parse_line(line, where)) for where, line in lines], source.root)


def _read_parquet(source: Source) -> Found:
    """One sample per row; an image in the file stays there until it is opened."""
    path, root = source.path, source.root
    try:
        with pq.ParquetFile(path) as file:
            schema, sizes = file.schema_arrow, [file.metadata.row_group(g).num_rows for g in range(file.num_row_groups)]
            encoded = "image" in schema.names and not _is_text(schema.field("image").type)
            wanted = [name for name in schema.names if name in TEXT_COLUMNS or (name == "image" and not encoded)]
            rows = file.read(columns=wanted).to_pylist() if wanted else [{} for _ in range(sum(sizes))]
    except (pa.ArrowException, OSError, ValueError) as error:  # a ValueError of text that is not UTF-8
        raise DataError(f"{path}: damaged Parquet file ({error})") from error
    refuse_twice(schema.names, str(path))
    if "image" not in schema.names:
        raise DataError(f"{path} has no column `image`; its columns: {', '.join(schema.names)}")
    if encoded:
        cells = [partial(_parquet_cell, path, group, k) for group, size in enumerate(sizes) for k in range(size)]
        for i, (row, cell) in enumerate(zip(rows, cells, strict=True)):
            row["image"] = EncodedImage(f"{path.name} row {i}", cell, root)
    return found_in_rows([(f"{path}: row {i}", row) for i, row in enumerate(rows)], root)


def found_in_rows(rows: Sequence[tuple[str, dict[str, Any]]], root: Path) -> Found:
    """One sample per row of a table.

    Args:
        rows: where each row lies, for messages, and its cells by column. The cell `image` is a path below `root`, or an
            EncodedImage.
        root: the folder below which image paths lie.
    """
    splits = [optional(row, "split", where) for where, row in rows]
    return Found(splits, lambda i: (rows[i][0], _sample(rows[i][1], rows[i][0], root)), root)


def refuse_twice(columns: Sequence[str], where: str) -> None:
    """Raises `DataError` if two columns have the same name, or names that mean the same: one of them would win."""
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise DataError(f"{where} has two columns that are, or mean, {', '.join(map(repr, twice))}; keep one of them")


def _sample(row: dict[str, Any], where: str, root: Path) -> Sample:
    image = need(row, "image", (str, EncodedImage), where)
    if row.get("id") is not None:
        key = str(need(row, "id", (int, str), where))
    else:
        key = image if isinstance(image, str) else image.key()
    return Sample(
        id=key,
        image=root / image if isinstance(image, str) else image,
        references=_one_of(row, REFERENCE_COLUMNS, where),
        answers=_one_of(row, ANSWER_COLUMNS, where),
        question=optional(row, "question", where),
        question_type=optional(row, "question_type", where),
        answer_type=optional(row, "answer_type", where),
    )


def _one_of(row: dict[str, Any], columns: Sequence[str], where: str) -> tuple[str, ...]:
    given = [name for name in columns if row.get(name) is not None]
    if len(given) > 1:
        raise DataError(f"{where}: fields {' and '.join(map(repr, given))} mean the same; keep one")
    return texts(row[given[0]], given[0], where) if given else ()


def _parse_line(line: str, where: str) -> dict[str, Any]:
    try:
        record, problem = parse(line), "not an object"
    except JSONError as error:
        record, problem = None, str(error)
    if not isinstance(record, dict):
        raise DataError(f"{where}: JSONL has one JSON object a line, got {line[:60]!r} ({problem})")
    return record


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _parquet_cell(path: Path, group: int, row: int) -> Any:
    try:
        return _parquet_images(path, group, path.stat().st_mtime_ns)[row].as_py()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"{path}: damaged Parquet file ({error})") from error


def _parquet_images(path: Path, group: int, modified: int) -> pa.ChunkedArray:
    """The images of a row group, which is read as a whole; those read last stay for the next rows."""
    key = path, group, modified
    if key not in _row_groups:
        with pq.ParquetFile(path) as file:
            images = file.read_row_group(group, columns=["image"])["image"]
        while _row_groups and sum(kept.nbytes for kept in _row_groups.values()) + images.nbytes > _KEPT:
            del _row_groups[next(iter(_row_groups))]
        _row_groups[key] = images
    return _row_groups[key]


JSONL = Format("a JSONL file", "JSONL with a field `image`", _is_jsonl, _read_jsonl)
PARQUET = Format(
    "a Parquet file", "Parquet with a column `image`", lambda source: source.head == b"PAR1", _read_parquet
)
