"""Samples from WebDataset shards: tar files in which files with the same stem are a sample (`000.jpg`, `000.txt`)."""

from __future__ import annotations

import gzip
import re
import tarfile
import threading
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

from vitrail.artifacts import open_regular, url_of
from vitrail.errors import DataError
from vitrail.samples.elsewhere import listed, read, stream
from vitrail.samples.files import to_json, to_text
from vitrail.samples.formats import Format, Found, Source
from vitrail.samples.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES, EncodedImage
from vitrail.samples.records import Table, found_in

SUFFIXES = (".tar", ".tar.gz", ".tgz")


def _is_shards(source: Source) -> bool:
    return source.path.name.lower().endswith(SUFFIXES)


def shards_at(url: str) -> list[str]:
    """The URLs of the shards that a URL is, or that lie in its folder; none where it is something else."""
    if url.lower().endswith(SUFFIXES):
        return [url]
    return [f"{url}/{name}" for name in listed(url) if name.lower().endswith(SUFFIXES) and "/" not in name]


def _read(source: Source) -> Found:
    """One sample per stem. The image stays in the tar; `.txt` holds captions, one per line; `.json` other fields.

    A shard at a URL is read once from its beginning to its end, and not kept.
    """
    path, place = source.path, _place(source)
    try:
        import webdataset
    except ImportError as error:
        raise DataError(f"to read the shards {source.given}: pip install 'vitrail[webdataset]'") from error
    if place == str(path) and not path.is_file():
        raise DataError(f"the shard {path} does not exist")
    if url_of(place) and not place.lower().endswith(".tar"):
        raise DataError(f"the shard {place} is compressed; its images cannot be read one by one there: fetch it first")
    rows: list[tuple[str, dict[str, Any]]] = []
    flaws: list[str] = []
    try:
        with _opened(place) as file, tarfile.open(fileobj=file) as tar:
            files = [m for m in tar.getmembers() if m.isfile()]
            grouped = webdataset.tariterators.group_by_keys(
                {"fname": m.name, "data": m, "__url__": place} for m in files
            )
            for members in grouped:
                try:
                    rows.append(_row(source, tar, members))
                except DataError as error:
                    flaws.append(str(error))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:  # a ValueError of two members of one name
        reason = str(error.args[0] if error.args else "").partition(" in tar file")[0]
        raise DataError(f"{place}: damaged shard ({type(error).__name__}: {reason})") from error
    columns = list(dict.fromkeys(["image", *(name for _, row in rows for name in row)]))
    return found_in(Table(place, columns, rows, path.parent, flaws, image="image"), source)


#: The names of several images of one sample, behind its key.
_NUMBERED = re.compile(r"\d+\.\w+")


def _row(source: Source, tar: tarfile.TarFile, members: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    path, key = source.path, members.pop("__key__")
    place = _place(source)
    where = f"{place}: {key}"
    held = {name: member for name, member in members.items() if not name.startswith("__")}
    images = [name for name in held if f".{name.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES | VIDEO_SUFFIXES]
    if len(images) != 1 and not (images and all(map(_NUMBERED.fullmatch, images))):
        raise DataError(
            f"{where} should hold one image, or images with numbers (`{key}.0.jpg`); it holds "
            f"{', '.join(sorted(held)) or 'nothing'}"
        )
    row: dict[str, Any] = {"id": f"{path.name.partition('.')[0]}/{key}"}
    if "json" in held:
        document = to_json(to_text(_bytes(tar, held["json"]), where), where)
        if not isinstance(document, dict):
            raise DataError(f"{where}: its JSON should be an object, got {document!r:.60}")
        row |= {name: value for name, value in document.items() if value is not None and name != "image"}
    if "txt" in held:
        row["captions"] = to_text(_bytes(tar, held["txt"]), f"{where}.txt", source.reading.encoding).split("\n")
        row.pop("caption", None)
    row["image"] = [
        EncodedImage(f"{key}.{name}", partial(_cell, place, held[name].offset_data, held[name].size), path.parent)
        for name in sorted(images, key=lambda name: int(name.partition(".")[0]) if len(images) > 1 else 0)
    ]
    return where, row


def _place(source: Source) -> str:
    """The URL of a shard, or its path."""
    return url_of(str(source.given)) or str(source.path)


def _opened(place: str) -> BinaryIO:
    return stream(place) if url_of(place) else open_regular(Path(place))


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None  # it is a file
    return file.read()


_one_reader = threading.Lock()


def _cell(path: str, offset: int, size: int) -> bytes:
    if url_of(path):
        return read(path, offset, size)
    if path.lower().endswith(".tar"):
        with Path(path).open("rb") as file:
            file.seek(offset)
            return file.read(size)
    with _one_reader:  # what is compressed is read from its start up to the image: in their order, images are read once
        whole = _decompressed(path, Path(path).stat().st_mtime_ns)
        whole.seek(offset)
        return whole.read(size)


@lru_cache(maxsize=2)
def _decompressed(path: str, modified: int) -> gzip.GzipFile:
    return gzip.GzipFile(path)  # it stays open for the next image


SHARDS = Format("WebDataset shards", "WebDataset shards (.tar, .tar.gz)", _is_shards, _read)
