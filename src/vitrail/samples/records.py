"""From the records of a table to samples: which field means what, which records belong to one image, what is wrong."""

from __future__ import annotations

import ast
import base64
import binascii
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from vitrail.artifacts import JSONError, parse, url_of
from vitrail.errors import DataError
from vitrail.samples.columns import NAMES, URLS, listed, normal, roles_of, together
from vitrail.samples.elsewhere import image_at
from vitrail.samples.fields import need, optional, short, texts
from vitrail.samples.formats import Found, Source
from vitrail.samples.forms import Form, Said, form_of, pictured_by
from vitrail.samples.images import Composite, EncodedImage
from vitrail.samples.sample import Sample
from vitrail.samples.several import Several, moving

#: Folders that images lie in below the folder of images, beside that itself.
FOLDERS = (
    *("images", "Images", "image", "imgs", "data", "train", "val", "test", "train_images", "test_images"),
    *(f"{part}{year}" for year in (2014, 2015, 2017) for part in ("train", "val", "test")),
    *("Flicker8k_Dataset", "Flickr8k_Dataset", "flickr30k_images", "flickr30k-images"),
)


@dataclass(frozen=True)
class Table:
    """Records with fields, from any kind of file.

    Args:
        place: where it lies, for messages.
        columns: the names of the fields that any record has.
        rows: where each record lies, and its fields.
        root: the folder below which image paths lie.
        flaws: records that cannot be read, each with its place and the reason.
        image: the column that holds the images themselves, if one does.
        written: whether all values are texts, as in CSV, so that a list is JSON.
    """

    place: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, dict[str, Any]]]
    root: Path
    flaws: Sequence[str] = ()
    image: str | None = None
    written: bool = False


def has_images(columns: Sequence[str], source: Source) -> bool:
    """Whether records with these fields have images: by their form, by a name, or because the user says so."""
    names = {normal(column) for column in columns}
    images = {name for role in ("image", "video") for group in NAMES[role] for name in group}
    return form_of(columns) is not None or bool(names & images) or "image" in source.reading.chosen


def roles_in(
    columns: Sequence[str], source: Source, place: str, image: str | None = None
) -> dict[str, tuple[str, ...]]:
    """Role → the columns that have it in a table with these columns.

    Args:
        place: of the table, for messages.
        image: the column that holds the images themselves, if one does.

    Raises:
        DataError: there is no column of images, or two columns mean the same.
        UsageError: there is no such column as the user chose.
    """
    form = form_of(columns)
    of_form = form.roles if form else {}
    usual = {role: column for role, column in of_form.items() if column in columns or column.split(".")[0] in columns}
    if image is not None:
        usual["image"] = image
    found = roles_of(columns, {**usual, **source.reading.chosen}, place)
    if not {"image", "video"} & found.keys() and (form is None or form.samples is None):
        links = [column for column in columns if normal(column) in URLS]
        if links:
            raise DataError(
                f"{place} says where its images can be downloaded (column {links[0]!r}), and does not hold them. "
                "Download them first, for example with img2dataset, and give its shards or its folder"
            )
        raise DataError(
            f"{place} has no column `image`; its columns: {listed(columns)}. Say which one it is with --image-column"
        )
    return found


def columns_read(columns: Sequence[str], source: Source, place: str, image: str | None = None) -> list[str]:
    """Those of the columns that samples are read from, without `image`, which holds the images themselves."""
    form = form_of(columns)
    roles = roles_in(columns, source, place, image)
    if form is not None and form.samples is not None:
        return [column for column in columns if column != image]
    read = {name for named in roles.values() for column in named for name in (column, column.split(".")[0])}
    return [column for column in columns if column in read and column != image]


def found_in(table: Table, source: Source) -> Found:
    """The samples of a table; rows that are of one image, without ids or questions, are one sample with their captions.

    Raises:
        DataError: the table has no images, or columns that mean the same.
        UsageError: the user chose a column that it does not have.
    """
    return _Reader(table, source).found()


@dataclass
class _Reader:
    table: Table
    source: Source
    flaws: list[str] = field(default_factory=list)
    without_image: int = 0

    @cached_property
    def form(self) -> Form | None:
        return form_of(self.table.columns)

    @cached_property
    def roles(self) -> dict[str, tuple[str, ...]]:
        return roles_in(self.table.columns, self.source, self.table.place, self.table.image)

    @cached_property
    def folders(self) -> list[Path]:
        root = self.table.root
        return [root, *(root / name for name in FOLDERS if (root / name).is_dir())]

    def found(self) -> Found:
        rows = []
        for where, record in self.table.rows:
            try:
                rows.append((where, self._said(record, where)))
            except DataError as error:
                self.flaws.append(str(error))
        if self.form and self.form.spread:
            self.form.spread([said for _, said in rows])
        entries = self._merged(entry for where, said in rows for entry in self._samples(where, said))
        splits = [said.get("split") if isinstance(said.get("split"), str) else None for _, said in entries]
        roles = self.roles if self.table.rows else {}  # without records there are no columns either
        read = {name for columns in roles.values() for c in columns for name in (c, c.split(".")[0])}
        read |= self.form.marks if self.form else set()
        return Found(
            splits,
            lambda i: (entries[i][0], self._sample(*entries[i])),
            self.table.root,
            {role: ", ".join(columns) for role, columns in roles.items()},
            tuple(column for column in self.table.columns if column not in read),
            [*self.table.flaws, *self.flaws],
            self.without_image,
        )

    def _said(self, record: dict[str, Any], where: str) -> Said:
        """What a record says of its sample, by role, and the record itself."""
        said: Said = {"record": record}
        for role, columns in self.roles.items():
            if len(columns) == 1:
                if (value := _value(record, columns[0])) is not None:
                    said[role] = value
                continue
            values = {column: v for column in columns if (v := _value(record, column)) is not None}
            if len(values) > 1 and not together(columns):
                option = {"captions": "caption", "answers": "answer"}.get(role, role)
                both = " and ".join(map(repr, values))
                raise DataError(f"{where}: fields {both} mean the same; keep one, or say which with --{option}-column")
            if values:
                said[role] = list(values.values()) if together(columns) else next(iter(values.values()))
        return said

    def _samples(self, where: str, said: Said) -> Iterator[tuple[str, Said]]:
        """What is said of each of the samples of a record; a record that says nothing is counted."""
        try:
            without = False
            for one in self.form.samples(said) if self.form and self.form.samples else (said,):
                if pictured_by(one) is not None:
                    yield where, one
                    continue
                if self.form is None or self.form.samples is None:
                    need(one["record"], self._column("image" if "image" in self.roles else "video"), (str,), where)
                without = True
            self.without_image += without
        except DataError as error:
            self.flaws.append(str(error) if str(error).startswith(where) else f"{where}: {error}")

    def _merged(self, entries: Iterator[tuple[str, Said]]) -> list[tuple[str, Said]]:
        found: dict[Any, tuple[str, Said]] = {}
        for number, (where, said) in enumerate(entries):
            image = pictured_by(said)
            named = isinstance(image, str | int) and "id" not in said
            key = (image, str(said.get("split")), said.get("turn")) if named else number
            if key not in found:
                found[key] = where, said
            elif "captions" in said and "question" not in said and "question" not in found[key][1]:
                there = found[key][1]
                there["captions"] = [*_listed(there.get("captions")), *_listed(said["captions"])]
            else:
                self.flaws.append(
                    f"{where} has the image of an earlier row, {short(image)}, and no caption or id of its own"
                )
        return list(found.values())

    def _sample(self, where: str, said: Said) -> Sample:
        image, written = self._image(where, said)
        optional(said, "split", where)  # a text, if it is there
        key = said.get("id")
        if isinstance(key, dict):  # of a database: {"$oid": …}
            key = next(iter(key.values()), None)
        if key is not None:
            key = str(
                need({self.roles.get("id", ("id",))[0]: key}, self.roles.get("id", ("id",))[0], (int, str), where)
            )
        else:
            key = written or image.key()  # type: ignore[union-attr]  # a path is written
        if said.get("turn", 1) > 1:
            key = f"{key}#{said['turn']}"
        return Sample(
            id=key,
            image=image,
            references=self._texts(said, "captions", where),
            answers=self._texts(said, "answers", where),
            question=optional(said, "question", where),
            question_type=optional(said, "question_type", where),
            answer_type=optional(said, "answer_type", where),
        )

    def _image(self, where: str, said: Said) -> tuple[Path | EncodedImage | Composite, str]:
        """The image, several of them or a video, and its name as written."""
        role = "image" if said.get("image") is not None else "video"
        found = [self._one(where, {**said, role: value}, role) for value in _listed(said[role])]
        frames = self.source.reading.frames
        images = [moving(image, frames, always=role == "video") for image, _ in found]
        if len(found) == 1:
            return images[0], found[0][1]
        several = tuple(image for image in images if not isinstance(image, Composite))
        if not found or len(several) < len(images):
            what = f"{len(images)} videos, or images and a video" if found else "a list with no image in it"
            raise DataError(f"{where} has {what}; a sample has an image, several of them, or one video")
        return Several(several), " + ".join(written or image.key() for image, written in found)  # type: ignore[union-attr]

    def _one(self, where: str, said: Said, role: str) -> tuple[Path | EncodedImage, str]:
        """One image or video, and its name as written."""
        value = said[role]
        if isinstance(value, dict):
            value = value.get("path") if value.get("bytes") is None else value["bytes"]
        if isinstance(value, bytes):
            return EncodedImage(where, partial(_same, value), self.table.root), ""
        if isinstance(value, int) and self.form and self.form.files:
            value = str(value)
        value = need({self._column(role): value}, self._column(role), (str, EncodedImage), where)
        if isinstance(value, EncodedImage):
            return value, ""
        if not value.strip():
            raise DataError(f"{where}: field {self._column(role)!r} is empty; the path of an image was expected")
        if (content := _embedded(value, where)) is not None:
            return EncodedImage(where, partial(_same, content), self.table.root), ""
        if value.startswith(("http://", "https://")):
            raise DataError(f"{where}: its image is at {short(value)}; download it first, for example with img2dataset")
        if url_of(value):
            return image_at(value, Path(value)), value
        names = self.form.files({**said, "image": value}) if self.form and self.form.files else [value]
        return self._file(names), value

    def _file(self, names: Sequence[str]) -> Path:
        """The first of these files that exists, or else the first."""
        places = [folder / name for folder in self.folders for name in names]
        if len(places) == 1:
            return places[0]
        return next((place for place in places if os.path.isfile(place)), places[0])

    def _texts(self, said: Said, role: str, where: str) -> tuple[str, ...]:
        value, column = said.get(role), self._column(role)
        if value is None:
            return ()
        if isinstance(value, str) and value.startswith("[") and self.table.written:
            value = _written_list(value, f"{where}: field {column!r}")
        if isinstance(value, dict):  # of one language, or of a label
            value = next((value[name] for name in ("caption", "captions", "text", "label") if name in value), value)
        return texts(value, column, where)

    def _column(self, role: str) -> str:
        return self.roles.get(role, (role,))[0]


def _value(record: dict[str, Any], column: str) -> Any:
    """The value of a field; of one inside other fields for `a.b`."""
    if column in record:
        return record[column]
    value: Any = record
    for name in column.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _written_list(text: str, where: str) -> Any:
    """A list that stands in a cell as text: JSON, or as Python writes it."""
    try:
        return parse(text)
    except JSONError as error:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise DataError(f"{where}: malformed JSON: {error}: {short(text)}") from error


#: How the Base64 of a JPEG, PNG, GIF, WebP or BMP begins.
_BASE64 = re.compile(r"(/9j/|iVBORw0KGgo|R0lGOD|UklGR|Qk0)[A-Za-z0-9+/\s]{40,}={0,2}\s*")


def _embedded(text: str, where: str) -> bytes | None:
    """The bytes of an image that is written as Base64, alone or in a `data:` URL; None for anything else."""
    if text.startswith("data:"):
        head, _, code = text.partition(",")
        if not head.endswith(";base64"):
            raise DataError(f"{where}: an image in a data: URL should be written as Base64, got {short(head)}")
    elif _BASE64.fullmatch(text):
        code = text
    else:
        return None
    try:
        return base64.b64decode(re.sub(r"\s+", "", code), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{where}: an image that is no Base64 ({error}): {short(text)}") from error


def _same(content: bytes) -> bytes:
    return content
