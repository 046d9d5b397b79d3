"""Samples from Hugging Face datasets, on this disk or on the hub; only here is `datasets` needed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from vitrail.errors import DataError
from vitrail.samples.images import EncodedImage
from vitrail.samples.sample import Found
from vitrail.samples.tables import TEXT_COLUMNS, found_in_rows


def read_hugging_face(source: str, root: Path) -> Found:
    """One sample per row of every split of `source`: a folder of `save_to_disk`, or a name on the hub."""
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"to read the Hugging Face dataset {source}: pip install 'vitrail[datasets]'") from error
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


def _rows(part: Any, name: str | None, source: str, root: Path) -> list[tuple[str, dict[str, Any]]]:
    """Where each row of a split lies, and its columns that mean something to a sample, the images undecoded."""
    import datasets

    place = f"{source}[{name}]" if name else source
    pictures = [column for column, feature in part.features.items() if isinstance(feature, datasets.Image)]
    if "image" not in part.column_names and len(pictures) != 1:
        raise DataError(f"{place} should have one column of images or a column `image`; got {part.features}")
    column = "image" if "image" in part.column_names else pictures[0]
    encoded = column in pictures
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
