"""Samples from WebDataset shards: tar files in which files with the same stem are a sample (`000.jpg`, `000.txt`)."""

from __future__ import annotations

import tarfile
from functools import partial
from pathlib import Path
from typing import Any

from vitrail.errors import DataError
from vitrail.samples.files import to_json, to_text
from vitrail.samples.folders import IMAGE_SUFFIXES
from vitrail.samples.formats import Format, Found, Source
from vitrail.samples.images import EncodedImage
from vitrail.samples.tables import TEXT_COLUMNS, found_in_rows


def _is_shards(source: Source) -> bool:
    """Whether the source names tar files: one, several by a pattern ("coco-{000..009}.tar"), or a folder of them."""
    path = Path(source.given)
    return path.suffix == ".tar" or (path.is_dir() and any(path.glob("*.tar")))


def _read(source: Source) -> Found:
    """One sample per stem. The image stays in the tar; `.txt` holds captions, one per line; `.json` our columns."""
    given = str(source.given)
    try:
        import webdataset
    except ImportError as error:
        raise DataError(f"to read the shards {given}: pip install 'vitrail[webdataset]'") from error
    path = Path(given)
    urls = sorted(map(str, path.glob("*.tar"))) if path.is_dir() else webdataset.shardlists.expand_urls(given)
    missing = [url for url in urls if not Path(url).is_file()]
    if missing:
        raise DataError(f"{len(missing)} of {len(urls)} shards do not exist, such as {missing[0]}")
    rows = [row for url in urls for row in _rows(Path(url), webdataset)]
    return found_in_rows(rows, path.parent)


def _rows(path: Path, webdataset: Any) -> list[tuple[str, dict[str, Any]]]:
    try:
        with tarfile.open(path) as tar:
            files = [m for m in tar.getmembers() if m.isfile()]
            grouped = webdataset.tariterators.group_by_keys(
                {"fname": m.name, "data": m, "__url__": str(path)} for m in files
            )
            return [_row(path, tar, members) for members in grouped]
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:  # a ValueError of two members of one name
        reason = str(error.args[0] if error.args else "").partition(" in tar file")[0]
        raise DataError(f"{path}: damaged shard ({type(error).__name__}: {reason})") from error


def _row(path: Path, tar: tarfile.TarFile, members: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    key = members.pop("__key__")
    where = f"{path}: {key}"
    held = {name: member for name, member in members.items() if not name.startswith("__")}
    images = [name for name in held if f".{name.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES]
    if len(images) != 1:
        raise DataError(f"{where} should hold one image; it holds {', '.join(sorted(held)) or 'nothing'}")
    row: dict[str, Any] = {"id": f"{path.stem}/{key}"}
    if "json" in held:
        document = to_json(to_text(_bytes(tar, held["json"]), where), where)
        if not isinstance(document, dict):
            raise DataError(f"{where}: its JSON should be an object, got {document!r:.60}")
        row |= {name: value for name, value in document.items() if name in TEXT_COLUMNS and value is not None}
    if "txt" in held:
        row["captions"] = to_text(_bytes(tar, held["txt"]), f"{where}.txt").split("\n")
        row.pop("caption", None)
    image = held[images[0]]
    cell = partial(_cell, str(path), image.offset_data, image.size)
    row["image"] = EncodedImage(f"{key}.{images[0]}", cell, path.parent)
    return where, row


def _bytes(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None  # it is a file
    return file.read()


def _cell(path: str, offset: int, size: int) -> bytes:
    with Path(path).open("rb") as file:
        file.seek(offset)
        return file.read(size)


SHARDS = Format("WebDataset shards", "WebDataset shards (.tar)", _is_shards, _read)
