"""Samples from Hugging Face datasets, on this disk or on the hub. Only this module needs `datasets`."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

from vitrail.errors import DataError, UsageError
from vitrail.samples.formats import Format, Found, Source, joined
from vitrail.samples.images import IMAGE_SUFFIXES, encoded_in
from vitrail.samples.records import Table, columns_read, found_in, roles_in

#: Suffixes of files: a missing `data/train.json` is not a name on the hub.
_FILES = IMAGE_SUFFIXES | {".json", ".jsonl", ".ndjson", ".parquet", ".csv", ".tsv", ".tar", ".gz", ".tgz"}


def _is_saved(source: Source) -> bool:
    return any((source.path / name).is_file() for name in ("dataset_dict.json", "state.json"))


def _may_be_on_hub(source: Source) -> bool:
    """Whether the source reads as org/name, and not as the path of a file that is missing."""
    if not isinstance(source.given, str) or source.path.exists():
        return False
    names = re.fullmatch(r"(\w[\w.-]*)/\w[\w.-]*", source.given)
    return names is not None and source.path.suffix.lower() not in _FILES and not Path(names[1]).exists()


def _read_saved(source: Source) -> Found:
    return _read(str(source.path), source.root, source)


def _read_hub(source: Source) -> Found:
    return _read(str(source.given), source.images or Path.cwd(), source)


def _read(place: str, root: Path, source: Source) -> Found:
    """One sample per row of every split of `place`: a folder of `save_to_disk`, or a name on the hub."""
    datasets = _library(place)
    on_disk = Path(place).is_dir()
    try:
        found = datasets.load_from_disk(place) if on_disk else datasets.load_dataset(place)
    except Exception as error:  # network, authorisation, configurations, formats: whatever its backends raise
        where = "damaged" if on_disk else "no path on this disk, and not readable from the hub"
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"Hugging Face dataset {place!r} is {where} ({reason})") from error
    parts = found if isinstance(found, dict) else {found.split and str(found.split): found}
    return joined([found_in(_table(part, name, place, root, source), source) for name, part in parts.items()])


def _read_stream(asked: Source) -> Found:
    """One sample for each of the first `limit` rows of a split (by default the first one) of a dataset on the hub."""
    if asked.limit is None:
        raise UsageError("A stream has no known end: give a limit.")
    source, split, root = asked.after("stream:") or "", asked.split, asked.images or Path.cwd()
    datasets = _library(source)
    try:
        parts = datasets.load_dataset(source, streaming=True)
        name = split or next(iter(parts))
        if name not in parts:
            raise UsageError(f"{source} has no split {name!r}; its splits: {', '.join(parts)}")
        part = parts[name]
        if part.features is None:
            part = part._resolve_features()
        column, encoded = _image_column(part.features, f"{source}[{name}]", asked)
        if encoded is not None:
            part = part.cast_column(column, encoded)
        taken = list(part.take(asked.limit))
    except (DataError, UsageError):
        raise
    except Exception as error:  # whatever its backends raise
        raise DataError(
            f"Hugging Face dataset {source!r} cannot be streamed ({type(error).__name__}: {error})"
        ) from error
    place = f"{source}[{name}]"
    rows = []
    for i, cells in enumerate(taken):
        if encoded is not None:
            cells[column] = encoded_in(f"{place} row {i}", root, partial(_same, cells[column]), _length(cells[column]))
        rows.append((f"{place}: row {i}", {"split": name, **cells}))
    return found_in(Table(place, list(part.features), rows, root, image=column), asked)


def _same(cell: Any, number: int | None = None) -> Any:
    return cell if number is None else cell[number]


def _length(cell: Any) -> int | None:
    """How many images a cell has that holds several; None for one that holds an image."""
    return len(cell) if isinstance(cell, list) else None


def _library(source: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"to read the Hugging Face dataset {source}: pip install 'vitrail[datasets]'") from error
    return datasets


def _image_column(features: Any, place: str, source: Source) -> tuple[str, Any]:
    """The column that holds the image, or several; and, where it holds the images themselves, the feature that leaves
    them encoded (else it holds paths)."""
    import datasets

    one = datasets.Image(decode=False)
    found = {
        **{column: one for column, feature in features.items() if isinstance(feature, datasets.Image)},
        **{
            column: type(feature)(one)
            for column, feature in features.items()
            if isinstance(getattr(feature, "feature", None), datasets.Image)
        },
    }
    pictures = list(found)
    chosen = source.reading.image_column
    if chosen is None and "image" not in features and len(pictures) > 1:
        raise DataError(
            f"{place} has several columns of images, {', '.join(pictures)}: say which one with --image-column"
        )
    if chosen is None and pictures and "image" not in features:
        chosen = pictures[0]
    column = chosen or roles_in(list(features), source, place)["image"][0]
    return column, found.get(column)


def _table(part: Any, name: str | None, source: str, root: Path, asked: Source) -> Table:
    """Where each row of a split lies, and those of its columns that samples use; images are not decoded."""
    import datasets

    place = f"{source}[{name}]" if name else source
    column, encoded = _image_column(part.features, place, asked)
    part = part.with_format(None)
    part = part.cast_column(column, encoded) if encoded is not None else part
    wanted = columns_read(part.column_names, asked, place, column)
    wanted += [] if encoded is not None else [column]
    rows = part.select_columns(wanted).to_list() if wanted else [{} for _ in range(len(part))]
    several = encoded is not None and not isinstance(encoded, datasets.Image)
    lengths = _lengths(part, column) if several else [None] * len(rows)
    for i, (row, n) in enumerate(zip(rows, lengths, strict=True)):
        if name is not None:
            row.setdefault("split", name)
        if encoded is not None:
            row[column] = encoded_in(f"{place} row {i}", root, partial(_cell, part, column, i), n)
    columns = list(dict.fromkeys([*part.column_names, *(["split"] if name is not None else [])]))
    return Table(place, columns, [(f"{place}: row {i}", row) for i, row in enumerate(rows)], root, image=column)


def _lengths(part: Any, column: str) -> list[int]:
    """How many images each row has."""
    import pyarrow.compute as pc

    table = part.select_columns([column]).with_format("arrow")[:]
    return [n or 0 for n in pc.list_value_length(table[column]).to_pylist()]


def _cell(part: Any, column: str, row: int, number: int | None = None) -> Any:
    cell = part[row][column]
    return cell if number is None else cell[number]


SAVED = Format("a Hugging Face dataset on disk", "a folder written by `save_to_disk`", _is_saved, _read_saved)
HUB = Format("a Hugging Face dataset", "the name of a dataset on the hub (`org/name`)", _may_be_on_hub, _read_hub)
STREAM = Format(
    "a stream of the hub",
    "`stream:org/name` for a part of such a dataset",
    lambda source: source.after("stream:") is not None,
    _read_stream,
)
