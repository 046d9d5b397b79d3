"""Samples: images with reference captions, or with a question and its answers, from the formats people have.

    samples = load_samples("coco/dataset_coco.json", split="val", limit=1000)

| source                               | recognised by                             | id of a sample                  |
|--------------------------------------|-------------------------------------------|---------------------------------|
| COCO captions (Karpathy's JSON)      | an `images` list, or `dataset_coco.json`  | `cocoid`, else `imgid`          |
| VQAv2 questions (JSON)               | a `questions` list                        | `question_id`                   |
| JSONL, Parquet                       | one object a line; Parquet's first bytes  | `id`, else the image as written |
| a folder of images                   | the images in it                          | the path below the folder       |
| a Hugging Face dataset (folder, hub) | `dataset_dict.json`, `state.json`; `a/b`  | `id`, else a hash of the image  |

An id comes from the data alone: never from the order of the records or from where the folder lies. Images are opened
when they are asked for, so a missing one is no error here, but in `Sample.open`.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageOps

from vitrail import toyland
from vitrail.errors import DataError, UsageError

_log = logging.getLogger(__name__)

ACCEPTED = (
    "Karpathy's COCO JSON, a VQAv2 questions JSON, JSONL or Parquet with an `image` column, a folder of images, "
    "a folder written by `save_to_disk`, or the name of a dataset on the Hugging Face hub (org/name)"
)
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
REFERENCE_COLUMNS = ("caption", "captions", "references")
ANSWER_COLUMNS = ("answer", "answers")
TEXT_COLUMNS = ("id", "split", "question", "question_type", "answer_type", *REFERENCE_COLUMNS, *ANSWER_COLUMNS)
_QUESTIONS = re.compile(r"v2_OpenEnded_mscoco_(?P<subset>.+)_questions\.json")


@dataclass(frozen=True)
class EncodedImage:
    """An image inside a table, still in its file format; `cell()` fetches it: bytes, or `{"bytes", "path"}`."""

    name: str
    cell: Callable[[], Any] = field(repr=False)
    root: Path = field(repr=False)

    def read(self) -> bytes:
        """The encoded bytes, from the table or from the file that it names below `root`."""
        content = self._content()
        return content if isinstance(content, bytes) else (self.root / content).read_bytes()

    def key(self) -> str:
        """A hash of the bytes, or the path as written where the table holds no bytes."""
        content = self._content()
        return hashlib.sha256(content).hexdigest()[:16] if isinstance(content, bytes) else content

    def _content(self) -> bytes | str:
        cell = self.cell()
        choices = (cell.get("bytes"), cell.get("path")) if isinstance(cell, dict) else (cell,)
        content = next((choice for choice in choices if choice is not None), None)
        if not isinstance(content, bytes | str):
            raise DataError(f"{self.name}: field 'image' should hold an encoded image or a path, got {cell!r:.80}")
        return content


@dataclass(frozen=True)
class Sample:
    """An image, what people said of it, and an id that the same data always give.

    `references` are captions; `answers` are as many as people gave (ten in VQAv2), repeated ones included.
    """

    id: str
    image: Path | EncodedImage | Image.Image
    references: tuple[str, ...] = ()
    question: str | None = None
    answers: tuple[str, ...] = ()
    question_type: str | None = None
    answer_type: str | None = None

    @property
    def name(self) -> str:
        """What to show as the image's name: its file name, its place in a table, or the sample's id."""
        return self.id if isinstance(self.image, Image.Image) else self.image.name

    def open(self) -> Image.Image:
        """The image: RGB, upright (EXIF), fully decoded, transparency over white.

        Raises DataError, naming the sample and the file, for an image that is missing, unreadable, truncated, or
        larger than `PIL.Image.MAX_IMAGE_PIXELS`.
        """
        where = self.image if isinstance(self.image, Path) else self.name
        try:
            return _decode(self.image)
        except FileNotFoundError as error:
            raise DataError(f"sample {self.id!r}: image {where} does not exist ({error})") from error
        except Exception as error:  # decoders of damaged files raise whatever they stumble over
            raise DataError(f"sample {self.id!r}: image {where} cannot be read ({_reason(error)})") from error


def load_samples(
    source: str | Path,
    *,
    split: str | None = None,
    images: str | Path | None = None,
    annotations: str | Path | None = None,
    limit: int | None = None,
) -> list[Sample]:
    """The samples of `source`, in its order: all of them, or those of `split`, at most the first `limit`.

    "toyland" is the bundled world, drawn into the user's cache the first time, and its train split unless another is
    named.

    `images` is the folder below which the image paths of a table or a JSON lie (default: the folder of `source`).
    `annotations` are the answers to VQAv2 questions (default: the file of the standard name beside them).

    Raises UsageError for a parameter that cannot be (a split that `source` lacks, among others), and DataError for
    data that are missing, malformed, empty, or that give two samples the same id.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"limit should be at least 1, got {limit}")
    if str(source) == "toyland":
        source, split = toyland.dataset_path(), split or "train"
    root = None if images is None else Path(images).expanduser().absolute()
    if root is not None and not root.is_dir():
        raise DataError(f"the folder of images {images} does not exist")
    found = _open_source(source, root, None if annotations is None else Path(annotations).expanduser())
    for name, value in (("images", images), ("annotations", annotations)):
        if value is not None and name not in found.uses:
            raise UsageError(f"{source} is {found.kind}, which has no use for {name}={str(value)!r}")
    return _unique(found.build(i) for i in _select(found.splits, split, limit, source))


def thumbnail(image: Image.Image, side: int = 160) -> bytes:
    """JPEG bytes of `image`, shrunk (never grown) to fit a square of `side` pixels."""
    if side < 1:
        raise UsageError(f"side should be at least 1 pixel, got {side}")
    small = _rgb(image).copy()
    small.thumbnail((side, side))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=85, comment=b"")  # else a comment in the source comes along
    return buffer.getvalue()


def _decode(image: Path | EncodedImage | Image.Image) -> Image.Image:
    if isinstance(image, Image.Image):
        return _rgb(ImageOps.exif_transpose(image))
    with Image.open(io.BytesIO(image.read()) if isinstance(image, EncodedImage) else image) as opened:
        pixels, most = opened.width * opened.height, Image.MAX_IMAGE_PIXELS
        if most is not None and pixels > most:  # PIL only warns up to twice the limit
            raise Image.DecompressionBombError(f"{pixels} pixels, more than the {most} that are allowed")
        return _rgb(ImageOps.exif_transpose(opened))


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits, which convert() would clip to 8: nearly every pixel white
        image = Image.fromarray(np.clip(np.asarray(image) // 256, 0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


# From a source to samples


@dataclass(frozen=True)
class _Found:
    """What a reader found: the split of each record, and `build(i) -> (where, sample)` for those that are wanted."""

    kind: str
    splits: Sequence[str | None]
    build: Callable[[int], tuple[str, Sample]]
    uses: tuple[str, ...] = ("images",)


def _open_source(source: str | Path, images: Path | None, annotations: Path | None) -> _Found:
    path = Path(source).expanduser().absolute()  # a sample stays valid in another working directory
    if path.is_dir() and (path / "dataset_coco.json").is_file():
        path = path / "dataset_coco.json"
    if path.is_file():
        return _open_file(path, images or path.parent, annotations)
    if path.is_dir() and any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        return _hugging_face(str(path), images or path)
    if path.is_dir():
        return _image_folder(path)
    if isinstance(source, str) and _may_be_on_hub(source):
        return _hugging_face(source, images or Path.cwd())
    raise DataError(f"{source} does not exist; samples come from {ACCEPTED}")


def _may_be_on_hub(source: str) -> bool:
    """Whether `source` reads as org/name, and not as the path of a file that is missing."""
    names = re.fullmatch(r"(\w[\w.-]*)/\w[\w.-]*", source)
    file_like = Path(source).suffix.lower() in {".json", ".jsonl", ".ndjson", ".parquet", *IMAGE_SUFFIXES}
    return names is not None and not file_like and not Path(names[1]).exists()


def _open_file(path: Path, root: Path, annotations: Path | None) -> _Found:
    if _read_bytes(path, 4) == b"PAR1":
        return _parquet(path, root)
    text = _read_text(path)
    if path.suffix in (".jsonl", ".ndjson"):
        return _jsonl(path, text, root)
    document, end = _parse_json(path, text)
    fields = document if isinstance(document, dict) else {}
    more = text[end:].strip()
    if "questions" in fields and not more:
        return _vqa(path, fields, root, annotations)
    if "annotations" in fields and not more:
        raise DataError(
            f"{path} holds annotations (its fields: {', '.join(fields)}); for VQAv2 give the questions file as source, "
            "and this one as annotations; for COCO captions give Karpathy's JSON"
        )
    if "images" in fields and not more:
        return _karpathy(path, fields, root)
    if "image" in fields:
        return _jsonl(path, text, root)
    if more:
        raise DataError(f"{path}: malformed JSON: text after the end of the document, {more[:40]!r}")
    raise DataError(f"{path} holds a JSON {_shape(document)}; samples come from {ACCEPTED}")


def _shape(document: Any) -> str:
    fields = f" of {', '.join(map(repr, list(document)[:5]))}" if isinstance(document, dict) else ""
    return f"{type(document).__name__}{fields}"


def _select(splits: Sequence[str | None], split: str | None, limit: int | None, source: str | Path) -> list[int]:
    if not splits:
        raise DataError(f"{source} is empty: it holds no samples")
    counts = Counter(splits)
    names = [name for name in counts if name is not None]
    if split is not None and split not in names:
        nearest = get_close_matches(split, names)
        hint = f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ";"
        listed = ", ".join(f"{name or 'without a name'} ({n})" for name, n in counts.items())
        raise UsageError(f"{source} has no samples in split {split!r}{hint} its splits: {listed}")
    return [i for i, name in enumerate(splits) if split in (None, name)][:limit]


def _unique(built: Iterable[tuple[str, Sample]]) -> list[Sample]:
    found: dict[str, tuple[str, Sample]] = {}
    for where, sample in built:
        if sample.id in found:
            raise DataError(f"{found[sample.id][0]} and {where} have the same id, {sample.id!r}; give each its own")
        found[_utf8(sample.id, where)] = where, sample
    return [sample for _, sample in found.values()]


# COCO and VQAv2


def _karpathy(path: Path, document: dict[str, Any], root: Path) -> _Found:
    records = _records(document, "images", str(path))

    def build(i: int) -> tuple[str, Sample]:
        where, record = f"{path}: images[{i}]", records[i]
        number = _need(record, "cocoid" if "cocoid" in record else "imgid", (int, str), where)  # Flickr30k: `imgid`
        file = _need(record, "filename", str, where)
        image = _first_file([root / (_optional(record, "filepath", where) or "") / file, root / file])
        sentences = enumerate(_records(record, "sentences", where))
        captions = [_need(sentence, "raw", str, f"{where}.sentences[{j}]") for j, sentence in sentences]
        return where, Sample(str(number), image, _texts(captions, "raw", where))

    splits = [_optional(record, "split", f"{path}: images[{i}]") for i, record in enumerate(records)]
    return _Found("Karpathy's COCO JSON", splits, build)


def _vqa(path: Path, document: dict[str, Any], root: Path, annotations: Path | None) -> _Found:
    named = _QUESTIONS.fullmatch(path.name)
    subset = _optional(document, "data_subtype", str(path)) or (named["subset"] if named else "")  # such as val2014
    questions = _records(document, "questions", str(path))
    answers = _read_annotations(path, annotations or _standard_annotations(path))
    image = cache(partial(_vqa_image, root, subset.replace("-dev", "")))  # test-dev2015 has the images of test2015

    def build(i: int) -> tuple[str, Sample]:
        where, record = f"{path}: questions[{i}]", questions[i]
        number, image_id = _need(record, "question_id", (int, str), where), _need(record, "image_id", int, where)
        question = _utf8(_need(record, "question", str, where), where)
        extra = {} if answers is None else _answers_to(str(number), image_id, answers, where)
        return where, Sample(str(number), image(image_id), question=question, **extra)

    split = re.sub(r"\d{4}$", "", subset) or None
    return _Found("a VQAv2 questions JSON", [split] * len(questions), build, ("images", "annotations"))


def _vqa_image(root: Path, subset: str, image_id: int) -> Path:
    names = (f"COCO_{subset}_{image_id:012d}.jpg", f"{image_id:012d}.jpg")
    return _first_file([folder / name for name in names for folder in (root, root / subset)])


def _answers_to(number: str, image_id: int, answers: dict[str, tuple[str, dict]], where: str) -> dict[str, Any]:
    if number not in answers:
        raise DataError(f"{where}: question_id {number} has no annotation among the {len(answers)} given")
    place, record = answers[number]
    if record.get("image_id", image_id) != image_id:
        raise DataError(f"{where} is about image {image_id}, but {place} about image {record['image_id']}")
    types = {name: _optional(record, name, place) for name in ("question_type", "answer_type")}
    return {"answers": _texts(_need(record, "answers", list, place), "answers", place), **types}


def _standard_annotations(questions: Path) -> Path | None:
    named = _QUESTIONS.fullmatch(questions.name)
    beside = questions.with_name(f"v2_mscoco_{named['subset']}_annotations.json") if named else None
    return beside if beside and beside.is_file() else None


def _read_annotations(questions: Path, path: Path | None) -> dict[str, tuple[str, dict]] | None:
    """The place and the record of each annotation, by question id."""
    if path is None:
        _log.warning("%s has no annotations beside it: its samples have no answers", questions)
        return None
    if not path.is_file():
        raise DataError(f"annotations {path} do not exist")
    document, _ = _parse_json(path, _read_text(path))
    if not isinstance(document, dict) or "annotations" not in document:
        raise DataError(f"{path} is no VQAv2 annotations file: it has no `annotations` list")
    places = [(f"{path}: annotations[{i}]", r) for i, r in enumerate(_records(document, "annotations", str(path)))]
    return {str(_need(record, "question_id", (int, str), where)): (where, record) for where, record in places}


# Tables: JSONL, Parquet, Hugging Face


def _table(kind: str, records: Sequence[tuple[str, dict[str, Any]]], root: Path) -> _Found:
    splits = [_optional(record, "split", where) for where, record in records]
    return _Found(kind, splits, lambda i: (records[i][0], _row(records[i][1], records[i][0], root)))


def _row(record: dict[str, Any], where: str, root: Path) -> Sample:
    """The sample in one row of a table; `image` is a path, or an EncodedImage."""
    image = _need(record, "image", (str, EncodedImage), where)
    if record.get("id") is not None:
        key = str(_need(record, "id", (int, str), where))
    else:
        key = image if isinstance(image, str) else image.key()
    return Sample(
        id=key,
        image=root / image if isinstance(image, str) else image,
        references=_one_of(record, REFERENCE_COLUMNS, where),
        answers=_one_of(record, ANSWER_COLUMNS, where),
        **{name: _optional(record, name, where) for name in ("question", "question_type", "answer_type")},
    )


def _jsonl(path: Path, text: str, root: Path) -> _Found:
    # not str.splitlines(): a JSON string may hold U+2028, which is no end of line here
    lines = [(f"{path}:{n}", line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    return _table("a JSONL file", [(where, _parse_line(line, where)) for where, line in lines], root)


def _parse_line(line: str, where: str) -> dict[str, Any]:
    try:
        record, problem = json.loads(line), "not an object"
    except json.JSONDecodeError as error:
        record, problem = None, f"column {error.colno}: {error.msg}"
    if not isinstance(record, dict):
        raise DataError(f"{where}: JSONL has one JSON object a line, got {line[:60]!r} ({problem})")
    return record


def _parquet(path: Path, root: Path) -> _Found:
    try:
        with pq.ParquetFile(path) as file:
            schema, groups = file.schema_arrow, [file.metadata.row_group(g) for g in range(file.num_row_groups)]
            encoded = "image" in schema.names and not _is_text(schema.field("image").type)
            wanted = [name for name in schema.names if name in TEXT_COLUMNS or (name == "image" and not encoded)]
            rows = file.read(columns=wanted).to_pylist() if wanted else [{} for _ in range(file.metadata.num_rows)]
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: damaged Parquet file ({error})") from error
    if "image" not in schema.names:
        raise DataError(f"{path} has no column `image`; its columns: {', '.join(schema.names)}")
    if encoded:
        places = [(group, row) for group, about in enumerate(groups) for row in range(about.num_rows)]
        for i, place in enumerate(places):
            rows[i]["image"] = EncodedImage(f"{path.name} row {i}", partial(_parquet_cell, path, *place), root)
    return _table("a Parquet file", [(f"{path}: row {i}", row) for i, row in enumerate(rows)], root)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _parquet_cell(path: Path, group: int, row: int) -> Any:
    return _parquet_images(path, group, path.stat().st_mtime_ns)[row].as_py()


@lru_cache(maxsize=1)  # a row group is read as a whole, for the next rows too
def _parquet_images(path: Path, group: int, _modified: int) -> pa.ChunkedArray:
    with pq.ParquetFile(path) as file:
        return file.read_row_group(group, columns=["image"])["image"]


def _hugging_face(source: str, root: Path) -> _Found:
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"to read the Hugging Face dataset {source}: pip install 'vitrail[datasets]'") from error
    on_disk = Path(source).is_dir()
    try:
        found = datasets.load_from_disk(source) if on_disk else datasets.load_dataset(source)
    except Exception as error:  # network, authorisation, configurations, formats: whatever its backends raise
        place = "damaged" if on_disk else "no path on this disk, and not readable from the hub"
        raise DataError(f"Hugging Face dataset {source!r} is {place} ({_reason(error)})") from error
    parts = found if isinstance(found, dict) else {found.split and str(found.split): found}
    records = [record for name, part in parts.items() for record in _dataset_records(part, name, source, root)]
    return _table("a Hugging Face dataset", records, root)


def _dataset_records(part: Any, name: str | None, source: str, root: Path) -> list[tuple[str, dict[str, Any]]]:
    import datasets

    place = f"{source}[{name}]" if name else source
    pictures = [column for column, feature in part.features.items() if isinstance(feature, datasets.Image)]
    if "image" not in part.column_names and len(pictures) != 1:
        raise DataError(f"{place} should have one column of images or a column `image`; got {part.features}")
    column = "image" if "image" in part.column_names else pictures[0]
    encoded = column in pictures
    part = part.with_format(None)
    part = part.cast_column(column, datasets.Image(decode=False)) if encoded else part
    wanted = [c for c in part.column_names if c in TEXT_COLUMNS or (c == column and not encoded)]
    rows = part.select_columns(wanted).to_list() if wanted else [{} for _ in range(len(part))]
    for i, row in enumerate(rows):
        row.setdefault("split", name)
        if encoded:
            row["image"] = EncodedImage(f"{place} row {i}", partial(_dataset_cell, part, column, i), root)
    return [(f"{place}: row {i}", row) for i, row in enumerate(rows)]


def _dataset_cell(part: Any, column: str, row: int) -> Any:
    return part[row][column]


# A folder of images


def _image_folder(path: Path) -> _Found:
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
        captions = _read_text(beside).split("\n") if beside.is_file() else []
        return str(file), Sample(names[i], file, _texts(captions, "caption", str(beside)))

    return _Found("a folder of images", [None] * len(names), build, ())


# Files and fields


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _first_file(candidates: Sequence[Path]) -> Path:
    return next((path for path in candidates if os.path.isfile(path)), candidates[0])  # False too for absurd names


def _read_bytes(path: Path, size: int = -1) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({_reason(error)})") from error


def _read_text(path: Path) -> str:
    try:
        return _read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text (byte {error.start}); samples come from {ACCEPTED}") from error


def _parse_json(path: Path, text: str) -> tuple[Any, int]:
    """The first JSON value in `text`, and where it ends."""
    start = len(text) - len(text.lstrip())
    if text[start : start + 1] not in ("{", "["):
        raise DataError(f"{path} is no JSON, it begins with {text[:20]!r}; samples come from {ACCEPTED}")
    try:
        return json.JSONDecoder().raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}: malformed JSON at line {error.lineno}, column {error.colno}: {error.msg}") from error


def _need(record: dict[str, Any], name: str, kind: type | tuple[type, ...], where: str) -> Any:
    if name not in record:
        raise DataError(f"{where}: field {name!r} is missing; the record has {', '.join(record) or 'no fields'}")
    value = record[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        kinds = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise DataError(f"{where}: field {name!r} should be {kinds}, got {value!r:.80}")
    return value


def _optional(record: dict[str, Any], name: str, where: str) -> str | None:
    return None if record.get(name) is None else _utf8(_need(record, name, str, where), where)


def _records(record: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    records = _need(record, name, list, where)
    for i, entry in enumerate(records):
        if not isinstance(entry, dict):
            raise DataError(f"{where}: {name}[{i}] should be an object, got {entry!r:.80}")
    return records


def _one_of(record: dict[str, Any], columns: Sequence[str], where: str) -> tuple[str, ...]:
    given = [name for name in columns if record.get(name) is not None]
    if len(given) > 1:
        raise DataError(f"{where}: fields {' and '.join(map(repr, given))} mean the same; keep one")
    return _texts(record[given[0]], given[0], where) if given else ()


def _texts(value: Any, name: str, where: str) -> tuple[str, ...]:
    """The texts in a string, a list of strings, or a list of `{"answer": …}`: stripped, without empty ones."""
    entries = value if isinstance(value, list) else [value]
    texts: list[Any] = [entry.get("answer") if isinstance(entry, dict) else entry for entry in entries]
    if not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: field {name!r} should hold text, got {value!r:.80}")
    return tuple(_utf8(text.strip(), where) for text in texts if text.strip())


def _utf8(text: str, where: str) -> str:
    """`text` itself; half a surrogate pair would break the first table that it is written to."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: text that is not valid Unicode: {text!r:.80}") from error
    return text
