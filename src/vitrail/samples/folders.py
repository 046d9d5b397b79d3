"""Samples from a folder of images; `a.txt` beside `a.jpg` holds its captions, one a line."""

from __future__ import annotations

from pathlib import Path

from vitrail.errors import DataError
from vitrail.samples.fields import texts
from vitrail.samples.files import ACCEPTED, read_text
from vitrail.samples.sample import Found, Sample

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def read_folder(path: Path) -> Found:
    """One sample per image below `path`, in the order of their names."""
    names = sorted(
        name.as_posix()
        for name in (file.relative_to(path) for file in path.rglob("*"))
        if name.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in name.parts)  # ._a.jpg of a Mac, .ipynb_checkpoints
        and (path / name).is_file()
    )
    if not names:
        there = ", ".join(sorted(file.name for file in path.iterdir())[:10]) or "nothing"
        raise DataError(f"the folder {path} holds no images, but {there}; samples come from {ACCEPTED}")

    def build(i: int) -> tuple[str, Sample]:
        file = path / names[i]
        beside = file.with_suffix(".txt")
        captions = read_text(beside).split("\n") if beside.is_file() else []
        return str(file), Sample(names[i], file, texts(captions, "caption", str(beside)))

    return Found("a folder of images", [None] * len(names), build, uses=())
