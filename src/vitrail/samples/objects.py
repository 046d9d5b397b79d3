"""What stands where in photographs, by name: from COCO's instances, and Visual Genome's objects and regions.

| file | what stands somewhere | where |
|---|---|---|
| COCO `instances_val2017.json` | its category | polygons, or run lengths; else the box |
| Visual Genome `objects.json` | its names | the box |
| Visual Genome `region_descriptions.json` | its phrase | the box |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw

from vitrail.errors import DataError
from vitrail.samples.fields import need, short, texts
from vitrail.samples.files import parse_json, read_text
from vitrail.samples.sample import Sample

#: Polygons are drawn with so many lines in a pixel.
_FINER = 4
#: Draws what stands somewhere as a mask of that height and width, in pixels of the photograph.
Draw = Callable[[int, int], Bool[np.ndarray, "height width"]]


@dataclass(frozen=True)
class Thing:
    """A thing in a photograph: what it is called, and where it is."""

    names: tuple[str, ...]
    draw: Draw = field(repr=False)


@dataclass(frozen=True)
class Objects:
    """The things in photographs.

    Args:
        path: the file that says it.
        things: id of a photograph → its things.
        files: name of the file of a photograph → its id, as far as it is known.
    """

    path: Path
    things: dict[str, list[Thing]]
    files: dict[str, str] = field(default_factory=dict)

    def of(self, sample: Sample) -> Sequence[Thing] | None:
        """The things in the photograph of a sample, which is known by its id, or else by the name of its file; None
        where the photograph is not in the file."""
        key = sample.id if sample.id in self.things else self.files.get(Path(sample.name).name)
        return None if key is None else self.things[key]

    def mask(self, sample: Sample, called: Callable[[str], object]) -> Bool[np.ndarray, "height width"] | None:
        """Where those things stand in the photograph of `sample` of which `called` is true of a name, in its pixels;
        None without any.

        Raises:
            DataError: a mask cannot be drawn.
        """
        found = [thing for thing in self.of(sample) or () if any(called(name) for name in thing.names)]
        if not found:
            return None
        width, height = sample.size()
        return np.any([thing.draw(height, width) for thing in found], axis=0)


def load_objects(path: str | Path) -> Objects:
    """What stands where, from a file of COCO or Visual Genome.

    Raises:
        DataError: it is none of these files, or damaged; the message names the place.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no file {path} that says what stands where.")
    document, _ = parse_json(path, read_text(path))
    first = document[0] if isinstance(document, list) and document else None
    if isinstance(document, dict) and {"images", "annotations", "categories"} <= document.keys():
        return _coco(path, document)
    if isinstance(first, dict) and "objects" in first:
        return _genome(path, document, "objects", "names", ("x", "y", "w", "h"))
    if isinstance(first, dict) and "regions" in first:
        return _genome(path, document, "regions", "phrase", ("x", "y", "width", "height"))
    raise DataError(
        f"{path} does not say what stands where: expected COCO's instances (`images`, `annotations`, `categories`), or "
        "Visual Genome's objects.json or region_descriptions.json."
    )


# ---- COCO ------------------------------------------------------------------------------------------------------------


def _coco(path: Path, document: dict[str, Any]) -> Objects:
    named = {need(c, "id", int, w): need(c, "name", str, w) for w, c in _records(document, "categories", path)}
    files: dict[str, str] = {}
    things: dict[str, list[Thing]] = {}
    for where, image in _records(document, "images", path):
        number = str(need(image, "id", int, where))
        things[number] = []
        files[Path(need(image, "file_name", str, where)).name] = number
    for where, one in _records(document, "annotations", path):
        number, category = str(need(one, "image_id", int, where)), need(one, "category_id", int, where)
        if number not in things or category not in named:
            what = f"image {number}" if number not in things else f"category {category}"
            raise DataError(f"{where}: there is no {what} in the file")
        things[number].append(Thing((named[category],), _outline(one, where)))
    return Objects(path, things, files)


def _records(document: dict[str, Any], name: str, path: Path) -> list[tuple[str, dict[str, Any]]]:
    records = [(f"{path}: {name}[{i}]", r) for i, r in enumerate(need(document, name, list, str(path)))]
    for where, record in records:
        if not isinstance(record, dict):
            raise DataError(f"{where} should be an object, got {short(record)}")
    return records


def _outline(one: dict[str, Any], where: str) -> Draw:
    """What draws an annotation: its polygons, its run lengths, or else its box."""
    outline = one.get("segmentation")
    if isinstance(outline, list) and outline:
        polygons = [_numbers(points, where) for points in outline]
        if flawed := next((p for p in polygons if len(p) < 6 or len(p) % 2), None):
            raise DataError(f"{where}: a polygon should have pairs of numbers, at least three, got {short(flawed)}")
        return lambda height, width: _polygons(polygons, height, width)
    if isinstance(outline, dict):
        rows, columns = _numbers(need(outline, "size", list, where), where)
        counts = need(outline, "counts", (list, str), where)
        return lambda height, width: _fitting(from_runs(counts, int(rows), int(columns), where), height, width, where)
    return _box(need(one, "bbox", list, where), where)


def _numbers(values: Any, where: str) -> list[float]:
    if not isinstance(values, list) or not all(type(v) in (int, float) for v in values):
        raise DataError(f"{where}: expected a list of numbers, got {short(values)}")
    return values


def _polygons(polygons: Iterable[Sequence[float]], height: int, width: int) -> Bool[np.ndarray, "height width"]:
    """Pixels of which polygons cover at least half; their numbers are x and y, and pixels begin at whole numbers."""
    canvas = Image.new("L", (width * _FINER, height * _FINER))
    for points in polygons:
        ImageDraw.Draw(canvas).polygon([n * _FINER - 0.5 for n in points], fill=255)
    return np.asarray(canvas.resize((width, height), Image.Resampling.BOX)) >= 128


def _box(values: Any, where: str) -> Draw:
    """What draws a box: left, top, width, height."""
    sides = _numbers(values, where)
    if len(sides) != 4 or min(sides[2:]) <= 0:
        raise DataError(f"{where}: a box should be left, top, and a width and height above 0, got {short(values)}")
    left, top, right, bottom = sides[0], sides[1], sides[0] + sides[2], sides[1] + sides[3]

    def draw(height: int, width: int) -> Bool[np.ndarray, "height width"]:
        mask = np.zeros((height, width), bool)
        rows, columns = (slice(max(int(a), 0), max(round(b), int(a) + 1, 0)) for a, b in ((top, bottom), (left, right)))
        mask[rows, columns] = True
        return mask

    return draw


def _fitting(mask: np.ndarray, height: int, width: int, where: str) -> Bool[np.ndarray, "height width"]:
    if mask.shape != (height, width):
        raise DataError(
            f"{where}: the mask is of an image of {mask.shape[1]} × {mask.shape[0]} pixels, and the photograph has "
            f"{width} × {height}"
        )
    return mask


def from_runs(counts: Sequence[int] | str, height: int, width: int, where: str = "a mask") -> Bool[np.ndarray, "h w"]:
    """A mask from COCO's run lengths: how many pixels are outside, inside, outside …, column by column.

    Args:
        counts: the lengths, or the text that COCO packs them into: numbers of base 32, the lowest digit first, each a
            character from "0" on, with 32 added where another digit follows; from the fourth length on, differences to
            the last but one.

    Raises:
        DataError: they are not those of a mask of this size.
    """
    lengths = _unpacked(counts, where) if isinstance(counts, str) else [int(n) for n in _numbers(list(counts), where)]
    if min(lengths, default=0) < 0 or sum(lengths) != height * width:
        raise DataError(
            f"{where}: the run lengths add up to {sum(lengths)}, and the mask has {height} × {width} pixels"
        )
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(width, height).T


def _unpacked(text: str, where: str) -> list[int]:
    lengths: list[int] = []
    value = digits = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise DataError(f"{where}: {character!r} is no digit of run lengths")
        value |= (code & 31) << 5 * digits
        digits += 1
        if not code & 32:
            value -= (1 << 5 * digits) if code & 16 else 0
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = digits = 0
    if digits:
        raise DataError(f"{where}: the run lengths end in the middle of a number")
    return lengths


# ---- Visual Genome ---------------------------------------------------------------------------------------------------


def _genome(path: Path, document: list[Any], name: str, called: str, sides: Sequence[str]) -> Objects:
    things: dict[str, list[Thing]] = {}
    for i, record in enumerate(document):
        where = f"{path}: [{i}]"
        if not isinstance(record, dict):
            raise DataError(f"{where} should be an object, got {short(record)}")
        number = record.get("image_id", record.get("id"))
        if not isinstance(number, int):
            raise DataError(f"{where}: field 'image_id' should be the number of an image, got {short(number)}")
        things[str(number)] = [
            Thing(
                texts(need(one, called, (str, list), place), called, place),
                _box([need(one, s, (int, float), place) for s in sides], place),
            )
            for place, one in _records(record, name, path)
        ]
    return Objects(path, things)
