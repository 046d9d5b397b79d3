"""Samples from Hugging Face datasets, on this disk or on the hub; only here is `datasets` needed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from vitrail.errors import DataError, UsageError
from vitrail.samples.images import EncodedImage
from vitrail.samples.sample import Found
from vitrail.samples.tables import TEXT_COLUMNS, found_in_rows


def read_hugging_face(source: str, root: Path) -> Found:
    """One sample per row of every split of `source`: a folder of `save_to_disk`, or a name on the hub."""
    datasets = _library(source)
    on_disk = Path(source).is_dir()
    try:
        found = datasets.load_from_disk(source) if on_disk else datasets.load_dataset(source)
    except Exception as error:  # network, authorisation, configurations, formats: whatever its backends raise
        place = "damaged" if on_disk else "no path on this disk, and not readable from the hub"
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"Hugging Face dataset {source!r} is {place} ({reason})") from error
    parts = found if isinstance(found, dict) else {found.split and str(found.split): found}
    rows = [row for name, part in parts.items() for row in _rows(part, name, source, root)]
    return found_in_rows("a Hugging Face dataset", rows, root)


def read_stream(source: str, split: str | None, limit: int, root: Path) -> Found:
    """One sample for each of the first `limit` rows of `split` (the first one by default) of a dataset on the hub."""
    datasets = _library(source)
    try:
        parts = datasets.load_dataset(source, streaming=True)
        name = split or next(iter(parts))
        if name not in parts:
            raise UsageError(f"{source} has no split {name!r}; its splits: {', '.join(parts)}")
        part = parts[name]
        if part.features is None:
            part = part._resolve_features()
        column, encoded = _image_column(part.features, f"{source}[{name}]")
        if encoded:
            part = part.cast_column(column, datasets.Image(decode=False))
        taken = list(part.take(limit))
    except (DataError, UsageError):
        raise
    except Exception as error:  # whatever its backends raise
        raise DataError(
            f"Hugging Face dataset {source!r} cannot be streamed ({type(error).__name__}: {error})"
        ) from error
    rows = []
    for i, cells in enumerate(taken):
        where = f"{source}[{name}]: row {i}"
        row = {key: value for key, value in cells.items() if key in TEXT_COLUMNS}
        cell = cells[column]
        row["image"] = EncodedImage(f"{source}[{name}] row {i}", partial(_same, cell), root) if encoded else cell
        rows.append((where, {"split": name, **row}))
    return found_in_rows("a stream of the hub", rows, root)


def _same(cell: Any) -> Any:
    return cell


def _library(source: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"to read the Hugging Face dataset {source}: pip install 'vitrail[datasets]'") from error
    return datasets


def _image_column(features: Any, place: str) -> tuple[str, bool]:
    """Which column holds the image, and whether as an image rather than a path."""
    import datasets

    pictures = [column for column, feature in features.items() if isinstance(feature, datasets.Image)]
    if "image" not in features and len(pictures) != 1:
        raise DataError(f"{place} should have one column of images or a column `image`; got {features}")
    column = "image" if "image" in features else pictures[0]
    return column, column in pictures


def _rows(part: Any, name: str | None, source: str, root: Path) -> list[tuple[str, dict[str, Any]]]:
    """Where each row of a split lies, and its columns that mean something to a sample, the images undecoded."""
    import datasets

    place = f"{source}[{name}]" if name else source
    column, encoded = _image_column(part.features, place)
    part = part.with_format(None)
    part = part.cast_column(column, datasets.Image(decode=False)) if encoded else part
    wanted = [c for c in part.column_names if c in TEXT_COLUMNS or (c == column and not encoded)]
    rows = part.select_columns(wanted).to_list() if wanted else [{} for _ in range(len(part))]
    for i, row in enumerate(rows):
        row.setdefault("split", name)
        if encoded:
            row["image"] = EncodedImage(f"{place} row {i}", partial(_cell, part, column, i), root)
    return [(f"{place}: row {i}", row) for i, row in enumerate(rows)]


def _cell(part: Any, column: str, row: int) -> Any:
    return part[row][column]
