"""Samples from a folder of images and videos; `a.txt` beside `a.jpg` holds its captions, one per line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vitrail.errors import DataError
from vitrail.samples.fields import texts
from vitrail.samples.files import read_text
from vitrail.samples.formats import Format, Found, Source
from vitrail.samples.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from vitrail.samples.places import inside
from vitrail.samples.sample import Sample
from vitrail.samples.several import moving


def _images(folder: Path) -> Iterator[str]:
    """The paths of the images and videos below `folder`, without hidden ones."""
    for file in folder.rglob("*"):
        name = file.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)  # ._a.jpg of a Mac, .ipynb_checkpoints
        if name.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES and not hidden and file.is_file():
            yield name.as_posix()


def _read(source: Source) -> Found:
    """One sample per image, in the order of their names."""
    path = source.path
    names, is_inside = sorted(_images(path)), inside(path)
    beside = {name: text for name in names if (text := (path / name).with_suffix(".txt")).is_file()}
    if outside := [] if source.allow_outside else [text for text in beside.values() if not is_inside(text)]:
        raise DataError(f"{outside[0]} leads out of {path}; to follow such links, add --allow-outside")

    def build(i: int) -> tuple[str, Sample]:
        name = names[i]
        captions = read_text(beside[name], source.reading.encoding).split("\n") if name in beside else []
        image = moving(path / name, source.reading.frames)
        return str(path / name), Sample(name, image, texts(captions, "caption", str(beside.get(name))))

    return Found([None] * len(names), build, path, {"captions": "*.txt beside the images"})


FOLDER = Format(
    "a folder of images",
    "a folder of images",
    lambda source: source.path.is_dir() and any(_images(source.path)),
    _read,
    uses=(),
)
