"""Samples from the JSON of COCO: captions in its own form and in Karpathy's, questions and annotations of VQAv2."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from vitrail.errors import DataError
from vitrail.samples.fields import need, optional, texts, utf8
from vitrail.samples.files import parse_json, read_text
from vitrail.samples.sample import Found, Sample

_log = logging.getLogger(__name__)

_CAPTIONS = re.compile(r"captions_(?P<subset>.+)\.json")
_QUESTIONS = re.compile(r"v2_OpenEnded_mscoco_(?P<subset>.+)_questions\.json")


def read_karpathy(path: Path, document: dict[str, Any], root: Path) -> Found:
    """One sample per image of Karpathy's JSON, with its captions."""
    records = _records(document, "images", str(path))

    def build(i: int) -> tuple[str, Sample]:
        where, record = f"{path}: images[{i}]", records[i]
        number = need(record, "cocoid" if "cocoid" in record else "imgid", (int, str), where)  # Flickr30k: `imgid`
        file = need(record, "filename", str, where)
        image = _first_file([root / (optional(record, "filepath", where) or "") / file, root / file])
        sentences = enumerate(_records(record, "sentences", where))
        captions = [need(sentence, "raw", str, f"{where}.sentences[{j}]") for j, sentence in sentences]
        return where, Sample(str(number), image, texts(captions, "raw", where))

    splits = [optional(record, "split", f"{path}: images[{i}]") for i, record in enumerate(records)]
    return Found("Karpathy's COCO JSON", splits, build)


def read_captions(path: Path, document: dict[str, Any], root: Path) -> Found:
    """One sample per image of COCO's own annotations (`captions_val2017.json`), with its captions."""
    images = _records(document, "images", str(path))
    captions: dict[int, list[str]] = {}
    for i, record in enumerate(_records(document, "annotations", str(path))):
        where = f"{path}: annotations[{i}]"
        captions.setdefault(need(record, "image_id", int, where), []).append(need(record, "caption", str, where))
    unknown = captions.keys() - {need(r, "id", int, f"{path}: images[{i}]") for i, r in enumerate(images)}
    if unknown:
        raise DataError(f"{path}: annotations of {len(unknown)} images that it does not list, such as {min(unknown)}")
    named = _CAPTIONS.fullmatch(path.name)
    subset = named["subset"] if named else ""

    def build(i: int) -> tuple[str, Sample]:
        where, record = f"{path}: images[{i}]", images[i]
        file = need(record, "file_name", str, where)
        image = _first_file([root / file, root / subset / file])
        return where, Sample(str(record["id"]), image, texts(captions.get(record["id"], []), "caption", where))

    split = re.sub(r"\d{4}$", "", subset) or None
    return Found("COCO's caption annotations", [split] * len(images), build)


def read_vqa(path: Path, document: dict[str, Any], root: Path, annotations: Path | None) -> Found:
    """One sample per question of VQAv2, with its answers if there are `annotations`, here or beside the questions."""
    named = _QUESTIONS.fullmatch(path.name)
    subset = optional(document, "data_subtype", str(path)) or (named["subset"] if named else "")  # such as val2014
    questions = _records(document, "questions", str(path))
    if named and annotations is None:
        beside = path.with_name(f"v2_mscoco_{named['subset']}_annotations.json")
        annotations = beside if beside.is_file() else None
    if annotations is None:
        _log.warning("%s has no annotations beside it: its samples have no answers", path)
    answers = None if annotations is None else _read_annotations(annotations)

    @cache  # several questions are about one image
    def image(number: int) -> Path:
        folder = subset.replace("-dev", "")  # test-dev2015 has the images of test2015
        names = (f"COCO_{folder}_{number:012d}.jpg", f"{number:012d}.jpg")
        return _first_file([place / name for name in names for place in (root, root / folder)])

    def build(i: int) -> tuple[str, Sample]:
        where, record = f"{path}: questions[{i}]", questions[i]
        number, image_id = need(record, "question_id", (int, str), where), need(record, "image_id", int, where)
        question = utf8(need(record, "question", str, where), where)
        extra = {} if answers is None else _answers_to(str(number), image_id, answers, where)
        return where, Sample(str(number), image(image_id), question=question, **extra)

    split = re.sub(r"\d{4}$", "", subset) or None
    return Found("a VQAv2 questions JSON", [split] * len(questions), build, ("images", "annotations"))


def _read_annotations(path: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """The place and the record of each annotation, by question id."""
    if not path.is_file():
        raise DataError(f"annotations {path} do not exist")
    document, _ = parse_json(path, read_text(path))
    if not isinstance(document, dict) or "annotations" not in document:
        raise DataError(f"{path} is no VQAv2 annotations file: it has no `annotations` list")
    places = [(f"{path}: annotations[{i}]", r) for i, r in enumerate(_records(document, "annotations", str(path)))]
    return {str(need(record, "question_id", (int, str), where)): (where, record) for where, record in places}


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


def _records(record: dict[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    records = need(record, name, list, where)
    for i, entry in enumerate(records):
        if not isinstance(entry, dict):
            raise DataError(f"{where}: {name}[{i}] should be an object, got {entry!r:.80}")
    return records


def _first_file(candidates: Sequence[Path]) -> Path:
    """The first that exists, else the first."""
    return next((path for path in candidates if os.path.isfile(path)), candidates[0])  # False too for absurd names
