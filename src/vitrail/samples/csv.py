"""Samples from CSV and its relatives: one row each, or one row per caption of an image, as Flickr8k and Flickr30k have.

A file without names of columns is Flickr's own (`1.jpg#0<TAB>a dog`), or a list of captions and addresses of images.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator
from typing import Any

from vitrail.errors import DataError
from vitrail.samples.fields import utf8
from vitrail.samples.formats import Format, Found, Source
from vitrail.samples.records import Table, found_in, has_images
from vitrail.samples.tables import refuse_twice

_DELIMITERS = "|,\t;"
_SUFFIXES = (".csv", ".tsv", ".txt", ".token")
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # images in Base64 are longer than what `csv` takes by default


def _is_csv(source: Source) -> bool:
    """Whether the file is named as a table, or begins with a line of column names, one of them the image's."""
    suffix = source.path.suffix.lower()
    if suffix not in _SUFFIXES or not source.is_file:
        return False
    return suffix in (".csv", ".tsv") or has_images(_columns(source.first_line), source)


def _columns(line: str) -> list[str]:
    delimiter = max(_DELIMITERS, key=line.count)
    return [name.strip().strip('"') for name in line.split(delimiter)]


def _read(source: Source) -> Found:
    """One sample per row; one per image where several rows have the same image and there are no ids."""
    path, text, first = source.path, source.text, source.first_line
    delimiter = max(_DELIMITERS, key=first.count)
    if re.search(r"(^|[\t,])https?://\S", first):
        raise DataError(
            f"{path} says where its images can be downloaded, as CC3M and CC12M do, and does not hold them. Download "
            "them first, for example with img2dataset, and give its shards or its folder"
        )
    try:
        columns = [name.strip() for name in next(csv.reader([first], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error as error:
        reason = str(error).partition(" - ")[0]  # without the module's advice to programmers
        raise DataError(f"{path}: the line of column names is malformed CSV: {reason}") from error
    refuse_twice(columns, str(path))
    rows: list[tuple[str, dict[str, Any]]] = []
    flaws: list[str] = []
    for where, cells in _lines(text, delimiter, str(path)):
        try:
            if isinstance(cells, csv.Error):
                raise DataError(f"{where}: malformed CSV: {cells}")
            if len(cells) != len(columns):
                raise DataError(
                    f"{where}: {len(cells)} cells, but there are {len(columns)} columns: {', '.join(columns)}"
                )
            named = zip(columns, cells, strict=True)
            rows.append((where, {name: utf8(cell.strip(), where) for name, cell in named if cell.strip()}))
        except DataError as error:
            flaws.append(str(error))
    return found_in(Table(str(path), columns, rows, source.root, flaws, written=True), source)


def _lines(text: str, delimiter: str, path: str) -> Iterator[tuple[str, list[str] | csv.Error]]:
    """The place of each row below the names of columns, and its cells, or what is wrong with it.

    Raises:
        DataError: a quotation mark is never closed: what follows it cannot be told apart.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    start = 0
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "unexpected end of data" in str(error):
                raise DataError(
                    f"{path}:{start}: malformed CSV: a quotation mark that opens here is never closed"
                ) from error
            yield f"{path}:{start}", error
            continue
        if cells and start > 1:
            yield f"{path}:{start}", cells


CSV = Format("a CSV file", "CSV with a column `image`", _is_csv, _read)


# ---- Flickr's own form -----------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"(?P<image>[^\t#]+?)#\d+[ \t]+(?P<caption>.*\S)\s*")
_LISTED = re.compile(r"(?i)flickr_?\w*\.(train|dev|val|test)images\.txt")


def _is_flickr(source: Source) -> bool:
    return source.is_file and _TOKEN.fullmatch(source.first_line) is not None


def _read_flickr(source: Source) -> Found:
    """One sample per image, with its captions; its split where the official lists of images lie beside the file."""
    path = source.path
    splits = {
        name.strip(): named[1].lower()
        for file in sorted(path.parent.glob("*.txt"))
        if (named := _LISTED.fullmatch(file.name))
        for name in file.read_text(encoding="utf-8").split("\n")
    }
    rows: list[tuple[str, dict[str, Any]]] = []
    flaws: list[str] = []
    for n, line in enumerate(re.split(r"\r\n?|\n", source.text), 1):
        if found := _TOKEN.fullmatch(line):
            split = splits.get(found["image"])
            rows.append((f"{path}:{n}", {**found.groupdict(), **({"split": split} if split else {})}))
        elif line.strip():
            flaws.append(f"{path}:{n}: a line should be `image.jpg#0`, a tab and a caption, got {line[:80]!r}")
    columns = ["image", "caption", *(["split"] if splits else [])]
    return found_in(Table(str(path), columns, rows, source.root, flaws), source)


FLICKR = Format("Flickr's captions", "Flickr8k and Flickr30k in their own form", _is_flickr, _read_flickr)
