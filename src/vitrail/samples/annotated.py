"""Samples from folders of images with a file of what was said of them: COCO, image folders, exports of FiftyOne."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vitrail.errors import DataError, UsageError
from vitrail.samples.coco import CAPTIONS
from vitrail.samples.csv import CSV, FLICKR
from vitrail.samples.formats import Format, Found, Source, joined
from vitrail.samples.records import Table, found_in
from vitrail.samples.tables import JSONL, PARQUET, RECORDS

#: Where captions lie in a folder. The first line that a folder has any file of decides; of the last two it may have
#: one such file alone, if no split says which.
_PLACES: tuple[tuple[str, ...], ...] = (
    ("metadata.csv", "metadata.jsonl", "metadata.parquet"),
    ("*/metadata.csv", "*/metadata.jsonl", "*/metadata.parquet"),
    ("samples.json",),
    ("labels.json",),
    ("annotations/captions_*.json",),
    ("captions.*", "*.token.txt", "*.token", "results.csv"),
)


def _files(folder: Path) -> list[Path]:
    for patterns in _PLACES:
        if found := [file for pattern in patterns for file in sorted(folder.glob(pattern)) if file.is_file()]:
            return found
    return []


def _is_annotated(source: Source) -> bool:
    return source.path.is_dir() and any(_format(_at(source, file)) for file in _files(source.path))


def _at(source: Source, file: Path) -> Source:
    """The file as a source: its images lie below the folder; those of a `metadata` file lie beside it."""
    root = file.parent if file.name.startswith("metadata.") else source.path
    return replace(source, given=file, images=source.images or root)


def _format(source: Source) -> Format | None:
    return next(
        (kind for kind in (LABELS, FLICKR, PARQUET, JSONL, CSV, CAPTIONS, RECORDS) if kind.recognises(source)), None
    )


def _read(source: Source) -> Found:
    files = [file for file in _files(source.path) if _format(_at(source, file))]
    if files[0].name.startswith("metadata."):
        parts = [_part(source, file) for file in files]
        return parts[0] if len(parts) == 1 else replace(joined(parts), root=source.path)
    chosen = files if source.split is None else [f for f in files if _subset(f).startswith(source.split)] or files
    if len(chosen) > 1:
        raise UsageError(
            f"{source.path} has several files of captions, {', '.join(f.name for f in chosen)}: say which split, such "
            f"as --split {_subset(chosen[0]) or 'val'}, or give the file itself as --data and the folder as --images"
        )
    found = _found(_at(source, chosen[0]))
    return replace(found, splits=[source.split] * len(found.splits)) if source.split == _subset(chosen[0]) else found


def _found(source: Source) -> Found:
    kind = _format(source)
    assert kind is not None  # it was recognised
    return kind.read(source)


def _subset(file: Path) -> str:
    """The part of the data that a file of captions is of: `val2017` of `captions_val2017.json`."""
    named = re.fullmatch(r"captions_(.+)\.json", file.name)
    return named[1] if named else ""


def _part(source: Source, file: Path) -> Found:
    """The samples of one `metadata` file; those of `train/metadata.csv` are the split `train`, and named so."""
    found, below = _found(_at(source, file)), file.parent.relative_to(source.path).as_posix()
    if below == ".":
        return found

    def build(i: int):  # type: ignore[no-untyped-def]
        where, sample = found.build(i)
        return where, replace(sample, id=f"{below}/{sample.id}")

    return replace(found, splits=[split or below for split in found.splits], build=build)


# ---- FiftyOne's classes ----------------------------------------------------------------------------------------------


def _are_labels(source: Source) -> bool:
    return {"classes", "labels"} <= source.fields.keys() and (source.path.parent / "data").is_dir()


def _read_labels(source: Source) -> Found:
    """Classes of images, by the names of their files without endings; a class is the caption."""
    classes, labels, data = source.fields["classes"], source.fields["labels"], source.path.parent / "data"
    if not isinstance(labels, dict) or not isinstance(classes, Sequence):
        raise DataError(f"{source.path}: `labels` should be an object, and `classes` a list")
    files: dict[str, str] = {file.stem: file.name for file in sorted(data.iterdir())}
    rows = []
    for name, label in labels.items():
        known = isinstance(label, int) and 0 <= label < len(classes)
        caption = classes[label] if known else label
        rows.append(
            (f"{source.path}: labels[{name!r:.80}]", {"image": f"data/{files.get(name, name)}", "labels": caption})
        )
    chosen = replace(source.reading, caption_column=source.reading.caption_column or "labels")
    table = Table(str(source.path), ["image", "labels"], rows, source.path.parent)
    return found_in(table, replace(source, reading=chosen))


LABELS = Format("classes of images", "classes of images (FiftyOne's `labels.json`)", _are_labels, _read_labels)

ANNOTATED = Format(
    "a folder of images with captions",
    "a folder of images with `metadata.csv`, COCO's `annotations`, or an export of FiftyOne",
    _is_annotated,
    _read,
)
