"""Samples from the region descriptions of Visual Genome: one per image, or one per region."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vitrail.errors import DataError
from vitrail.samples.bounds import ImageBounds
from vitrail.samples.fields import need, short, texts
from vitrail.samples.files import parse_json, read_text
from vitrail.samples.formats import Format, Found, Source
from vitrail.samples.images import EncodedImage, decode
from vitrail.samples.sample import Sample

#: The folders that Visual Genome's images come in.
_FOLDERS = ("", "VG_100K", "VG_100K_2")


def _has_regions(document: Any) -> bool:
    return isinstance(document, list) and bool(document) and isinstance(document[0], dict) and "regions" in document[0]


def _read_images(source: Source) -> Found:
    """One sample per image of `region_descriptions.json`; the phrases of its regions are its captions."""
    path, document, root = source.path, source.document, source.root

    def build(i: int) -> tuple[str, Sample]:
        where, number, regions = _record(path, document, i)
        phrases = [need(region, "phrase", str, place) for place, region in regions]
        captions = texts(list(dict.fromkeys(phrases)), "phrase", where)
        return where, Sample(str(number), _file(root, number), captions)

    return Found([None] * len(document), build, root, {"captions": "regions", "image": "id"})


def _read_regions(source: Source) -> Found:
    """One sample per region of `region_descriptions.json`: its part of the image, and its phrase.

    The part is cut out when the image is opened. The id is made of the image's number and the region's: `2407890-4`.
    """
    source = replace(source, given=source.after("regions:") or "")
    path, root = source.path, source.root
    document, _ = parse_json(path, read_text(path))
    if not _has_regions(document):
        raise DataError(f"{path} has no regions; `regions:` is for Visual Genome's region_descriptions.json")
    regions: list[tuple[int, str, dict[str, Any]]] = []
    flaws: list[str] = []
    for i in range(len(document)):
        try:
            _, number, those = _record(path, document, i)
            regions += [(number, place, region) for place, region in those]
        except DataError as error:
            flaws.append(str(error))

    def build(i: int) -> tuple[str, Sample]:
        number, where, region = regions[i]
        named = need(region, "region_id", int, where)
        left, top, width, height = (need(region, side, int, where) for side in ("x", "y", "width", "height"))
        if width < 1 or height < 1:
            raise DataError(f"{where}: a region should be at least one pixel wide and high, got {width} × {height}")
        file = _file(root, number)
        cut = partial(_cut, file, (left, top, left + width, top + height))
        image = EncodedImage(f"{file.name} region {named}", cut, root, file)
        return where, Sample(f"{number}-{named}", image, texts(need(region, "phrase", str, where), "phrase", where))

    return Found([None] * len(regions), build, root, {"captions": "phrase", "image": "id"}, flaws=flaws)


def _record(path: Path, document: list[Any], i: int) -> tuple[str, int, list[tuple[str, dict[str, Any]]]]:
    """Where the record of an image lies, the image's number, and each of its regions with the place where it lies."""
    where, record = f"{path}: [{i}]", document[i]
    if not isinstance(record, dict):
        raise DataError(f"{where} should be an object, got {short(record)}")
    regions = need(record, "regions", list, where)
    number = record.get("id", record.get("image_id"))
    if not isinstance(number, int):
        raise DataError(f"{where}: field 'id' should be the number of an image, got {short(number)}")
    for j, region in enumerate(regions):
        if not isinstance(region, dict):
            raise DataError(f"{where}.regions[{j}] should be an object, got {short(region)}")
    return where, number, [(f"{where}.regions[{j}]", region) for j, region in enumerate(regions)]


def _file(root: Path, number: int) -> Path:
    places = [root / folder / f"{number}.jpg" for folder in _FOLDERS]
    return next((place for place in places if place.is_file()), places[0])


def _cut(file: Path, box: tuple[int, int, int, int]) -> bytes:
    """The part of the image that lies in `box` (left, top, right, bottom), as PNG; some boxes reach past the edge."""
    image = decode(file, ImageBounds())
    left, top, right, bottom = max(box[0], 0), max(box[1], 0), min(box[2], image.width), min(box[3], image.height)
    if left >= right or top >= bottom:
        raise DataError(f"the region {box} lies outside of its image of {image.width} × {image.height} pixels")
    buffer = io.BytesIO()
    image.crop((left, top, right, bottom)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


GENOME = Format(
    "Visual Genome's region descriptions",
    "Visual Genome's region descriptions",
    lambda source: _has_regions(source.document),
    _read_images,
    ("images",),
)
REGIONS = Format(
    "the regions of Visual Genome",
    "`regions:FILE` for each region by itself",
    lambda source: source.after("regions:") is not None,
    _read_regions,
    ("images",),
)
