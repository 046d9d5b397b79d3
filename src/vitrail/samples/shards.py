"""Samples from WebDataset shards: tar files in which files with the same stem are a sample (`000.jpg`, `000.txt`)."""

from __future__ import annotations

import gzip
import tarfile
import threading
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from vitrail.errors import DataError
from vitrail.samples.files import to_json, to_text
from vitrail.samples.folders import IMAGE_SUFFIXES
from vitrail.samples.formats import Format, Found, Source
from vitrail.samples.images import EncodedImage
from vitrail.samples.records import Table, found_in

SUFFIXES = (".tar", ".tar.gz", ".tgz")


def _is_shards(source: Source) -> bool:
    return source.path.name.lower().endswith(SUFFIXES)


def _read(source: Source) -> Found:
    """One sample per stem. The image stays in the tar; `.txt` holds captions, one per line; `.json` other fields."""
    path = source.path
    try:
        import webdataset
    except ImportError as error:
        raise DataError(f"to read the shards {source.given}: pip install 'vitrail[webdataset]'") from error
    if not path.is_file():
        raise DataError(f"the shard {path} does not exist")
    rows: list[tuple[str, dict[str, Any]]] = []
    flaws: list[str] = []
    try:
        with tarfile.open(path) as tar:
            files = [m for m in tar.getmembers() if m.isfile()]
            grouped = webdataset.tariterators.group_by_keys(
                {"fname": m.name, "data": m, "__url__": str(path)} for m in files
            )
            for members in grouped:
                try:
                    rows.append(_row(source, tar, members))
                except DataError as error:
                    flaws.append(str(error))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:  # a ValueError of two members of one name
        reason = str(error.args[0] if error.args else "").partition(" in tar file")[0]
        raise DataError(f"{path}: damaged shard ({type(error).__name__}: {reason})") from error
    columns = list(dict.fromkeys(["image", *(name for _, row in rows for name in row)]))
    return found_in(Table(str(path), columns, rows, path.parent, flaws, image="image"), source)


def _row(source: Source, tar: tarfile.TarFile, members: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    path, key = source.path, members.pop("__key__")
    where = f"{path}: {key}"
    held = {name: member for name, member in members.items() if not name.startswith("__")}
    images = [name for name in held if f".{name.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES]
    if len(images) != 1:
        raise DataError(f"{where} should hold one image; it holds {', '.join(sorted(held)) or 'nothing'}")
    row: dict[str, Any] = {"id": f"{path.name.partition('.')[0]}/{key}"}
    if "json" in held:
        document = to_json(to_text(_bytes(tar, held["json"]), where), where)
        if not isinstance(document, dict):
            raise DataError(f"{where}: its JSON should be an object, got {document!r:.60}")
        row |= {name: value for name, value in document.items() if value is not None and name != "image"}
    if "txt" in held:
        row["captions"] = to_text(_bytes(tar, held["txt"]), f"{where}.txt", source.reading.encoding).split("\n")
        row.pop("caption", None)
    image = held[images[0]]
    cell = partial(_cell, str(path), image.offset_data, image.size)
    row["image"] = EncodedImage(f"{key}.{images[0]}", cell, path.parent)
    return where, row


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None  # it is a file
    return file.read()


_one_reader = threading.Lock()


def _cell(path: str, offset: int, size: int) -> bytes:
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
