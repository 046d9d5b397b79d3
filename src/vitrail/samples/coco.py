"""Samples from the JSON files of COCO: captions in its own format and in Karpathy's, and the questions of VQAv2."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from vitrail.errors import DataError
from vitrail.samples.fields import need, optional, short, texts, utf8
from vitrail.samples.files import parse_json, read_text
from vitrail.samples.formats import Format, Found, Source
from vitrail.samples.sample import Sample

_log = logging.getLogger(__name__)

_CAPTIONS = re.compile(r"captions_(?P<subset>.+)\.json")
#: Of VQAv2, and of OK-VQA, whose files have no version.
_QUESTIONS = re.compile(r"(?P<version>v2_)?OpenEnded_mscoco_(?P<subset>.+)_questions\.json")


def _karpathy_file(source: Source) -> Source:
    """The JSON itself, where the source is the folder that it lies in."""
    path = source.path / "dataset_coco.json"
    return replace(source, given=path) if path.is_file() else source


def _is_karpathy(source: Source) -> bool:
    return "images" in source.fields or (source.path / "dataset_coco.json").is_file()


def _read_karpathy(source: Source) -> Found:
    """One sample per image of Karpathy's JSON, with its captions."""
    source = _karpathy_file(source)
    path, root = source.path, source.root
    records = _records(source.fields, "images", str(path))

    def build(i: int) -> tuple[str, Sample]:
        where = f"{path}: images[{i}]"
        record = _object(records[i], where)
        number = need(record, "cocoid" if "cocoid" in record else "imgid", (int, str), where)  # Flickr30k: `imgid`
        file = need(record, "filename", str, where)
        image = _first_file([root / (optional(record, "filepath", where) or "") / file, root / file])
        sentences = enumerate(_records(record, "sentences", where))
        places = [(f"{where}.sentences[{j}]", sentence) for j, sentence in sentences]
        captions = [need(_object(sentence, place), "raw", str, place) for place, sentence in places]
        return where, Sample(str(number), image, texts(captions, "raw", where))

    splits = [_split(record) for record in records]
    return Found(splits, build, root, {"captions": "sentences", "image": "filename"})


def _read_captions(source: Source) -> Found:
    """One sample per image of COCO's own annotations (`captions_val2017.json`), with its captions."""
    path, document, root = source.path, source.fields, source.root
    images = _records(document, "images", str(path))
    flaws: list[str] = []
    captions: dict[int, list[str]] = {}
    for i, record in enumerate(_records(document, "annotations", str(path)) if "annotations" in document else []):
        where = f"{path}: annotations[{i}]"
        try:
            number = need(_object(record, where), "image_id", int, where)
            captions.setdefault(number, []).append(need(record, "caption", str, where))
        except DataError as error:
            flaws.append(str(error))
    if unknown := captions.keys() - {record.get("id") for record in images if isinstance(record, dict)}:
        raise DataError(f"{path}: annotations of {len(unknown)} images that it does not list, such as {min(unknown)}")
    named = _CAPTIONS.fullmatch(path.name)
    subset = named["subset"] if named else ""

    def build(i: int) -> tuple[str, Sample]:
        where = f"{path}: images[{i}]"
        record = _object(images[i], where)
        number, file = need(record, "id", int, where), need(record, "file_name", str, where)
        image = _first_file([root / file, root / subset / file, root / "images" / file])
        return where, Sample(str(number), image, texts(captions.get(number, []), "caption", where))

    split = re.sub(r"\d{4}$", "", subset) or None
    columns = {"captions": "annotations", "image": "file_name"}
    return Found([split] * len(images), build, root, columns, flaws=flaws)


def _are_captions(source: Source) -> bool:
    """Whether images are listed with annotations, or, as in a test set, without any (nocaps)."""
    images = source.fields.get("images")
    first = images[0] if isinstance(images, list) and images else None
    return isinstance(images, list) and (
        "annotations" in source.fields or (isinstance(first, dict) and "file_name" in first and "filename" not in first)
    )


def _is_vqa(source: Source) -> bool:
    """A file of questions, or their annotations given in its place: `_read_vqa` says then what to do."""
    return "questions" in source.fields or ("annotations" in source.fields and "images" not in source.fields)


def _read_vqa(source: Source) -> Found:
    """One sample per question of VQAv2, with its answers if there are annotations."""
    path, document, root = source.path, source.fields, source.root
    annotations = source.reading.annotations
    if "questions" not in document:
        raise DataError(
            f"{path} holds annotations (its fields: {', '.join(document)}); for VQAv2 give the questions file as "
            "source, and this one with --annotations; COCO's caption annotations list their images, too"
        )
    named = _QUESTIONS.fullmatch(path.name)
    subset = optional(document, "data_subtype", str(path)) or (named["subset"] if named else "")  # such as val2014
    questions = _records(document, "questions", str(path))
    if named and annotations is None:
        beside = path.with_name(f"{named['version'] or ''}mscoco_{named['subset']}_annotations.json")
        annotations = beside if beside.is_file() else None
    if annotations is None:
        _log.warning("%s has no annotations beside it: its samples have no answers; name them with --annotations", path)
    answers = None if annotations is None else _read_annotations(annotations)

    @cache  # several questions are about one image
    def image(number: int) -> Path:
        folder = subset.replace("-dev", "")  # test-dev2015 has the images of test2015
        names = (f"COCO_{folder}_{number:012d}.jpg", f"{number:012d}.jpg")
        return _first_file([place / name for name in names for place in (root, root / folder)])

    def build(i: int) -> tuple[str, Sample]:
        where = f"{path}: questions[{i}]"
        record = _object(questions[i], where)
        number, image_id = need(record, "question_id", (int, str), where), need(record, "image_id", int, where)
        question = utf8(need(record, "question", str, where), where)
        extra = {} if answers is None else _answers_to(str(number), image_id, answers, where)
        return where, Sample(str(number), image(image_id), question=question, **extra)

    split = re.sub(r"\d{4}$", "", subset) or None
    columns = {"question": "question", "image": "image_id"} | ({} if answers is None else {"answers": "annotations"})
    return Found([split] * len(questions), build, root, columns)


def _read_annotations(path: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """The place and the record of each annotation, by question id."""
    if not path.is_file():
        raise DataError(f"annotations {path} do not exist")
    document, _ = parse_json(path, read_text(path))
    if not isinstance(document, dict) or "annotations" not in document:
        raise DataError(f"{path} is no VQAv2 annotations file: it has no `annotations` list")
    places = [(f"{path}: annotations[{i}]", r) for i, r in enumerate(_records(document, "annotations", str(path)))]
    return {
        str(need(_object(record, where), "question_id", (int, str), where)): (where, record) for where, record in places
    }


def _answers_to(
    number: str, image_id: int, answers: dict[str, tuple[str, dict[str, Any]]], where: str
) -> dict[str, Any]:
    """The fields of the sample that come from the annotation of its question."""
    if number not in answers:
        raise DataError(f"{where}: question_id {number} has no annotation among the {len(answers)} given")
    place, record = answers[number]
    if record.get("image_id", image_id) != image_id:
        raise DataError(f"{where} is about image {image_id}, but {place} about image {record['image_id']}")
    types = {name: optional(record, name, place) for name in ("question_type", "answer_type")}
    return {"answers": texts(need(record, "answers", list, place), "answers", place), **types}


def _records(record: dict[str, Any], name: str, where: str) -> list[Any]:
    return need(record, name, list, where)


def _object(record: Any, where: str) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise DataError(f"{where} should be an object, got {short(record)}")
    return record


def _split(record: Any) -> str | None:
    found = record.get("split") if isinstance(record, dict) else None
    return found if isinstance(found, str) else None


def _first_file(candidates: Sequence[Path]) -> Path:
    """The first that exists, else the first."""
    return next((path for path in candidates if os.path.isfile(path)), candidates[0])  # False too for absurd names


KARPATHY = Format("Karpathy's COCO JSON", "COCO captions (Karpathy's JSON)", _is_karpathy, _read_karpathy, ("images",))
CAPTIONS = Format(
    "COCO's caption annotations",
    "COCO captions (its own JSON)",
    _are_captions,
    _read_captions,
    uses=("images",),
)
VQA = Format("a VQAv2 questions JSON", "a VQAv2 questions JSON", _is_vqa, _read_vqa, ("images", "annotations"))
