"""Samples from the region descriptions of Visual Genome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitrail.errors import DataError
from vitrail.samples.fields import need, texts
from vitrail.samples.sample import Found, Sample

#: The folders that Visual Genome's images come in.
_FOLDERS = ("", "VG_100K", "VG_100K_2")


def is_regions(document: Any) -> bool:
    return isinstance(document, list) and bool(document) and isinstance(document[0], dict) and "regions" in document[0]


def read_regions(path: Path, document: list[Any], root: Path) -> Found:
    """One sample per image of `region_descriptions.json`; what is said of its regions are its captions."""

    def build(i: int) -> tuple[str, Sample]:
        where, record = f"{path}: [{i}]", document[i]
        if not isinstance(record, dict):
            raise DataError(f"{where} should be an object, got {record!r:.60}")
        regions = need(record, "regions", list, where)
        number = record.get("id", record.get("image_id"))
        if not isinstance(number, int):
            raise DataError(f"{where}: field 'id' should be the number of an image, got {number!r:.60}")
        phrases = [need(region, "phrase", str, f"{where}.regions[{j}]") for j, region in enumerate(regions)]
        places = [root / folder / f"{number}.jpg" for folder in _FOLDERS]
        image = next((place for place in places if place.is_file()), places[0])
        return where, Sample(str(number), image, texts(list(dict.fromkeys(phrases)), "phrase", where))

    return Found("Visual Genome's region descriptions", [None] * len(document), build)
