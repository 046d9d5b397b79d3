"""Samples: every format reads back what was written, ids come from the data alone, and what is wrong is said."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import pickle
import random
import shutil
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from vitrail import toyland
from vitrail.errors import DataError, UsageError
from vitrail.samples import EncodedImage, ReadingOptions, Sample, Several, frames_of, load_samples, thumbnail
from vitrail.samples.bounds import ImageBounds

STRICT = ReadingOptions(strict=True)
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def picture(colour=RED, size=(4, 3)):
    return Image.new("RGB", size, colour)


def encoded(colour=RED):
    buffer = io.BytesIO()
    picture(colour).save(buffer, format="PNG")
    return buffer.getvalue()


def save(path: Path, colour=RED, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture(colour).save(path, **options)
    return path


def write_json(path: Path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def write_jsonl(path: Path, records):
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return path


def karpathy_record(number, split="train", folder="val2014", captions=("a dog .",)):
    sentences = [{"raw": caption, "tokens": caption.split(), "sentid": i} for i, caption in enumerate(captions)]
    name = f"COCO_{number}.png"
    record = {"filepath": folder, "filename": name, "imgid": number + 1000, "cocoid": number, "split": split}
    return {**record, "sentences": sentences}


def vqa_files(folder: Path, subset="val2014", count=3):
    asked = [{"image_id": 40 + i // 2, "question": f"What is {i}?", "question_id": 400 + i} for i in range(count)]
    said = [
        {
            "question_id": question["question_id"],
            "image_id": question["image_id"],
            "answers": [{"answer": "yes", "answer_id": 1}, {"answer": f"no {question['question_id']}", "answer_id": 2}],
            "multiple_choice_answer": "yes",
            "answer_type": "yes/no",
            "question_type": "what is",
        }
        for question in reversed(asked)
    ]
    questions = folder / f"v2_OpenEnded_mscoco_{subset}_questions.json"
    write_json(questions, {"data_subtype": subset, "questions": asked})
    write_json(folder / f"v2_mscoco_{subset}_annotations.json", {"annotations": said})
    return questions


def edit_json(path: Path, change):
    document = json.loads(path.read_text())
    change(document)
    return write_json(path, document)


def ids(samples):
    return [sample.id for sample in samples]


def colour_of(sample):
    return sample.open().getpixel((0, 0))


# --- COCO ---------------------------------------------------------------------------------------------------------


def test_a_karpathy_record_becomes_a_sample_with_its_captions_and_its_coco_id(tmp_path):
    save(tmp_path / "val2014" / "COCO_7.png", BLUE)
    source = write_json(tmp_path / "k.json", {"images": [karpathy_record(7, captions=[" A dog.\n", "", "Two dogs."])]})
    [sample] = load_samples(source)
    assert (sample.id, sample.references) == ("7", ("A dog.", "Two dogs."))
    assert (sample.question, sample.answers) == (None, ())
    assert sample.name == "COCO_7.png"
    assert colour_of(sample) == BLUE


def test_a_folder_with_karpathys_file_is_read_as_that_file_whatever_else_lies_in_it(tmp_path):
    save(tmp_path / "val2014" / "COCO_7.png")
    save(tmp_path / "other.png")
    write_json(tmp_path / "dataset_coco.json", {"images": [karpathy_record(7)]})
    write_json(tmp_path / "state.json", {})
    assert ids(load_samples(tmp_path)) == ["7"]
    assert load_samples(tmp_path)[0].image == tmp_path / "val2014" / "COCO_7.png"


def test_coco_images_are_found_below_images_with_or_without_their_folder(tmp_path):
    source = write_json(tmp_path / "json" / "k.json", {"images": [karpathy_record(1), karpathy_record(2)]})
    save(tmp_path / "pictures" / "val2014" / "COCO_1.png", RED)
    save(tmp_path / "pictures" / "COCO_2.png", GREEN)
    samples = load_samples(source, images=tmp_path / "pictures")
    assert [colour_of(sample) for sample in samples] == [RED, GREEN]


def test_a_karpathy_file_of_flickr_has_neither_folder_nor_coco_id(tmp_path):
    record = karpathy_record(7)
    del record["filepath"], record["cocoid"]
    [sample] = load_samples(write_json(tmp_path / "flickr.json", {"images": [record]}))
    assert sample.id == "1007"
    assert sample.image == tmp_path / "COCO_7.png"


def test_restval_is_a_split_of_its_own(tmp_path):
    splits = ["train", "restval", "val", "restval", "test"]
    records = [karpathy_record(i, split) for i, split in enumerate(splits)]
    source = write_json(tmp_path / "k.json", {"images": records})
    assert ids(load_samples(source, split="restval")) == ["1", "3"]
    assert ids(load_samples(source, split="train")) == ["0"]
    assert ids(load_samples(source)) == ["0", "1", "2", "3", "4"]


def test_limit_takes_the_first_of_the_split(tmp_path):
    records = [karpathy_record(i, "val" if i % 2 else "train") for i in range(9)]
    source = write_json(tmp_path / "k.json", {"images": records})
    assert ids(load_samples(source, split="val", limit=2)) == ["1", "3"]
    assert len(load_samples(source, limit=100)) == 9


# --- VQAv2 --------------------------------------------------------------------------------------------------------


def test_each_vqa_question_is_a_sample_with_the_answers_that_belong_to_it(tmp_path):
    samples = load_samples(vqa_files(tmp_path))  # the annotations lie in the opposite order
    assert ids(samples) == ["400", "401", "402"]
    assert [s.question for s in samples] == ["What is 0?", "What is 1?", "What is 2?"]
    assert [s.answers for s in samples] == [("yes", "no 400"), ("yes", "no 401"), ("yes", "no 402")]
    assert {(s.question_type, s.answer_type, s.references) for s in samples} == {("what is", "yes/no", ())}


@pytest.mark.parametrize(
    "place", ["COCO_val2014_000000000040.jpg", "val2014/COCO_val2014_000000000040.jpg", "000000000040.jpg"]
)
def test_vqa_images_are_found_by_the_names_that_coco_gives_them(tmp_path, place):
    questions = vqa_files(tmp_path / "json", count=2)
    save(tmp_path / "pictures" / place, BLUE, quality=100)
    first, second = load_samples(questions, images=tmp_path / "pictures")
    assert first.image == second.image == tmp_path / "pictures" / place
    assert colour_of(first)[2] > 250


def test_a_vqa_image_that_is_missing_has_its_standard_name(tmp_path):
    assert load_samples(vqa_files(tmp_path))[0].name == "COCO_val2014_000000000040.jpg"
    other = load_samples(vqa_files(tmp_path, subset="test-dev2015"))[0]
    assert other.name == "COCO_test2015_000000000040.jpg"


def test_vqa_annotations_may_lie_elsewhere(tmp_path):
    questions = vqa_files(tmp_path)
    moved = shutil.move(tmp_path / "v2_mscoco_val2014_annotations.json", tmp_path / "a.json")
    assert load_samples(questions, reading=ReadingOptions(annotations=moved))[2].answers == ("yes", "no 402")


def test_vqa_questions_without_annotations_have_no_answers_and_say_so(tmp_path, caplog):
    questions = vqa_files(tmp_path)
    (tmp_path / "v2_mscoco_val2014_annotations.json").unlink()
    with caplog.at_level(logging.WARNING, "vitrail.samples"):
        samples = load_samples(questions)
    assert [sample.answers for sample in samples] == [(), (), ()]
    assert "no annotations" in caplog.text


def test_the_split_of_vqa_comes_from_the_file_or_else_from_its_name(tmp_path):
    questions = vqa_files(tmp_path)
    renamed = shutil.copy(questions, tmp_path / "questions.json")
    assert len(load_samples(renamed, split="val")) == 3
    edit_json(questions, lambda document: document.pop("data_subtype"))
    assert len(load_samples(questions, split="val")) == 3
    with pytest.raises(UsageError, match=r"no samples in split 'train'; its splits: val \(3\)"):
        load_samples(questions, split="train")


def test_a_vqa_question_that_has_no_annotation_is_an_error(tmp_path):
    questions = vqa_files(tmp_path)
    edit_json(tmp_path / "v2_mscoco_val2014_annotations.json", lambda document: document["annotations"].pop())
    with pytest.raises(DataError, match=r"questions\[0\]: question_id 400 has no annotation among the 2 given"):
        load_samples(questions, reading=STRICT)


def test_vqa_annotations_of_another_image_are_an_error(tmp_path):
    questions = vqa_files(tmp_path)
    annotations = tmp_path / "v2_mscoco_val2014_annotations.json"
    edit_json(annotations, lambda document: document["annotations"][2].update(image_id=99))
    with pytest.raises(DataError, match=r"questions\[0\] is about image 40, but .*annotations\[2\] about image 99"):
        load_samples(questions, reading=STRICT)


def test_vqa_files_given_in_each_others_place_are_told_apart(tmp_path):
    questions = vqa_files(tmp_path)
    annotations = tmp_path / "v2_mscoco_val2014_annotations.json"
    with pytest.raises(DataError, match="give the questions file as source"):
        load_samples(annotations)
    with pytest.raises(DataError, match="has no `annotations` list"):
        load_samples(questions, reading=ReadingOptions(annotations=questions))
    with pytest.raises(DataError, match=r"annotations .*nowhere\.json do not exist"):
        load_samples(questions, reading=ReadingOptions(annotations=tmp_path / "nowhere.json"))


# --- JSONL and Parquet ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("write", ["jsonl", "parquet"])
def test_a_table_gives_captions_questions_answers_and_splits(tmp_path, write):
    records = [
        {"id": 1, "image": "a/x.png", "captions": ["one", "two "], "question": None, "answer": None, "split": "train"},
        {"id": 2, "image": "y.png", "captions": None, "question": "What?", "answer": "A dog", "split": "val"},
    ]
    save(tmp_path / "a" / "x.png", GREEN)
    path = tmp_path / f"data.{write}"
    if write == "jsonl":
        write_jsonl(path, records)
    else:
        pq.write_table(pa.Table.from_pylist(records), path)
    first, second = load_samples(path)
    assert first == Sample("1", tmp_path / "a" / "x.png", ("one", "two"))
    assert second == Sample("2", tmp_path / "y.png", (), "What?", ("A dog",))
    assert colour_of(first) == GREEN
    assert load_samples(path, split="val") == [second]


@pytest.mark.parametrize("field", ["caption", "captions", "references"])
@pytest.mark.parametrize(("value", "expected"), [("one", ("one",)), (["one", "two"], ("one", "two")), ([], ())])
def test_references_have_three_names_and_are_a_text_or_a_list(tmp_path, field, value, expected):
    path = write_jsonl(tmp_path / "data.jsonl", [{"image": "x.png", field: value}])
    assert load_samples(path)[0].references == expected


@pytest.mark.parametrize("field", ["answer", "answers"])
@pytest.mark.parametrize("value", [["yes", "no", "no"], [{"answer": "yes"}, {"answer": "no"}, {"answer": "no"}]])
def test_answers_keep_their_repetitions(tmp_path, field, value):
    record = {"image": "x.png", "question": "?", field: value, "answer_type": "yes/no", "question_type": "is it"}
    [sample] = load_samples(write_jsonl(tmp_path / "data.jsonl", [record]))
    assert sample.answers == ("yes", "no", "no")
    assert (sample.answer_type, sample.question_type) == ("yes/no", "is it")


def test_without_an_id_a_sample_is_called_by_its_image_as_written(tmp_path):
    absolute = str(save(tmp_path / "elsewhere" / "y.png", BLUE))
    (tmp_path / "data").mkdir()
    path = write_jsonl(tmp_path / "data" / "data.jsonl", [{"image": "a/../x.png"}, {"image": absolute}])
    first, second = load_samples(path, bounds=ImageBounds(allow_outside=True))
    assert ids([first, second]) == ["a/../x.png", absolute]
    assert colour_of(second) == BLUE
    with pytest.raises(DataError, match="does not exist"):
        first.open()


def test_a_jsonl_file_is_known_by_its_content_too(tmp_path):
    for name in ("data.json", "data.txt", "data"):
        path = write_jsonl(tmp_path / name, [{"image": "x.png"}, {"image": "y.png"}])
        assert ids(load_samples(path)) == ["x.png", "y.png"]


def test_a_jsonl_line_ends_at_a_newline_and_nowhere_else(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes('\ufeff{"image": "x.png", "caption": "a\u2028b\x85c"}\r\n\r\n{"image": "y.png"}'.encode())
    assert [sample.references for sample in load_samples(path)] == [("a\u2028b\x85c",), ()]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(deadline=None, max_examples=30)
@given(captions=st.lists(st.lists(texts, max_size=3), min_size=1, max_size=5))
def test_any_captions_come_back_stripped_from_jsonl_and_parquet_alike(tmp_path_factory, captions):
    folder = tmp_path_factory.mktemp("any")
    records = [{"image": f"{i}.png", "captions": entry} for i, entry in enumerate(captions)]
    schema = pa.schema({"image": pa.string(), "captions": pa.list_(pa.string())})
    pq.write_table(pa.Table.from_pylist(records, schema), folder / "data.parquet")
    write_jsonl(folder / "data.jsonl", records)
    expected = [tuple(text.strip() for text in entry if text.strip()) for entry in captions]
    for name in ("data.parquet", "data.jsonl"):
        assert [sample.references for sample in load_samples(folder / name)] == expected


def parquet_of_bytes(path, colours, row_group_size=2, **columns):
    cells = [{"bytes": encoded(colour), "path": None} for colour in colours]
    pq.write_table(pa.table({"image": cells, **columns}), path, row_group_size=row_group_size)
    return path


def test_parquet_may_hold_the_images_themselves(tmp_path):
    colours = [(10 * i, 0, 0) for i in range(7)]
    path = parquet_of_bytes(tmp_path / "data.bin", colours, caption=[f"c{i}" for i in range(7)])
    samples = load_samples(path)
    order = list(range(7))
    random.Random(0).shuffle(order)
    assert [colour_of(samples[i]) for i in order] == [colours[i] for i in order]
    assert [sample.references for sample in samples] == [(f"c{i}",) for i in range(7)]
    assert samples[3].name == "data.bin row 3"


def test_images_in_parquet_are_called_by_their_content(tmp_path):
    forward = load_samples(parquet_of_bytes(tmp_path / "a.parquet", [RED, GREEN, BLUE]))
    backward = load_samples(parquet_of_bytes(tmp_path / "b.parquet", [BLUE, GREEN, RED], row_group_size=3))
    assert ids(forward) == ids(backward)[::-1]
    assert len(set(ids(forward))) == 3
    named = load_samples(parquet_of_bytes(tmp_path / "c.parquet", [RED, GREEN], id=["r", "g"]))
    assert ids(named) == ["r", "g"]


def test_images_in_parquet_with_ids_are_not_read_before_they_are_opened(tmp_path, monkeypatch):
    path = parquet_of_bytes(tmp_path / "a.parquet", [RED, GREEN], id=["r", "g"])
    monkeypatch.setattr(EncodedImage, "_content", lambda self: pytest.fail("read too early"))
    assert ids(load_samples(path)) == ["r", "g"]


def test_a_parquet_file_that_was_written_again_gives_its_new_images(tmp_path):
    path = tmp_path / "a.parquet"
    assert colour_of(load_samples(parquet_of_bytes(path, [RED]))[0]) == RED
    assert colour_of(load_samples(parquet_of_bytes(path, [BLUE]))[0]) == BLUE


def test_parquet_may_hold_bare_bytes_or_paths_in_its_cells(tmp_path):
    save(tmp_path / "pictures" / "g.png", GREEN)
    cells = [{"bytes": None, "path": "g.png"}, {"bytes": encoded(RED), "path": "r.png"}]
    pq.write_table(pa.table({"image": cells}), tmp_path / "cells.parquet")
    pq.write_table(pa.table({"image": [encoded(BLUE)]}), tmp_path / "bare.parquet")
    samples = load_samples(tmp_path / "cells.parquet", images=tmp_path / "pictures")
    assert samples[0].id == "g.png"
    assert [colour_of(sample) for sample in samples] == [GREEN, RED]
    assert colour_of(load_samples(tmp_path / "bare.parquet")[0]) == BLUE


def test_an_empty_cell_of_images_is_an_error_that_says_which(tmp_path):
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    for name, cells in (("none", [None]), ("hollow", [{"bytes": None, "path": None}])):
        table = pa.table({"image": pa.array(cells, kind), "id": ["a"]})
        pq.write_table(table, tmp_path / f"{name}.parquet")
        [sample] = load_samples(tmp_path / f"{name}.parquet")
        with pytest.raises(DataError, match=f"sample 'a': image {name}.parquet row 0 cannot be read"):
            sample.open()
        pq.write_table(table.drop_columns("id"), tmp_path / f"{name}.parquet")
        with pytest.raises(DataError, match=f"{name}.parquet row 0: field 'image' should hold"):
            load_samples(tmp_path / f"{name}.parquet")


def test_samples_can_be_sent_to_another_process(tmp_path):
    [sample] = load_samples(parquet_of_bytes(tmp_path / "a.parquet", [BLUE]))
    assert colour_of(pickle.loads(pickle.dumps(sample))) == BLUE


# --- folders of images ----------------------------------------------------------------------------------------------


def test_a_folder_of_images_is_walked_in_order_with_captions_beside_them(tmp_path):
    for name in ("b.png", "a/z.JPG", "a/c.webp", "d.bmp", "e.jpeg", ".hidden.png", ".cache/t.png", "a/._c.webp"):
        path = tmp_path / name
        save(path.with_suffix(path.suffix.lower())).rename(path)
    (tmp_path / "b.txt").write_text("A dog.\n\n  A brown dog. \n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    samples = load_samples(tmp_path)
    assert ids(samples) == ["a/c.webp", "a/z.JPG", "b.png", "d.bmp", "e.jpeg"]
    assert [s.references for s in samples] == [(), (), ("A dog.", "A brown dog."), (), ()]
    assert all(sample.open().size == (4, 3) for sample in samples)


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    (tmp_path / "thing.csv").write_text("a,b")
    with pytest.raises(DataError, match=r"holds no images, but thing\.csv; samples come from .*a folder of images"):
        load_samples(tmp_path)
    (tmp_path / "thing.csv").unlink()
    with pytest.raises(DataError, match="holds no images, but nothing"):
        load_samples(tmp_path)


# --- Hugging Face ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def datasets():
    return pytest.importorskip("datasets")


def dataset_of(datasets, colours, column="image", **columns):
    kinds = {name: datasets.features.features.generate_from_arrow_type(pa.array(v).type) for name, v in columns.items()}
    features = datasets.Features({column: datasets.Image(), **kinds})
    return datasets.Dataset.from_dict({column: [picture(c) for c in colours], **columns}, features=features)


def test_a_saved_dataset_of_several_images_gives_all_of_them(tmp_path, datasets):
    for kind in (datasets.Sequence, datasets.List):
        features = datasets.Features({"images": kind(datasets.Image()), "caption": datasets.Value("string")})
        rows = {"images": [[picture(RED), picture(GREEN)], [picture(GREEN)], []], "caption": ["two", "one", "none"]}
        folder = tmp_path / kind.__name__
        datasets.Dataset.from_dict(rows, features=features).save_to_disk(folder)
        two, one = load_samples(folder)
        assert [(s.references, len(frames_of(s.open()))) for s in (two, one)] == [(("two",), 2), (("one",), 1)]
        assert colour_of(one) == GREEN
        assert isinstance(two.image, Several)


def test_a_saved_dataset_gives_its_images_and_captions(tmp_path, datasets):
    dataset_of(datasets, [RED, GREEN], caption=["red", "green"], id=[5, 6]).save_to_disk(tmp_path / "d")
    samples = load_samples(tmp_path / "d")
    assert [(s.id, s.references, colour_of(s)) for s in samples] == [("5", ("red",), RED), ("6", ("green",), GREEN)]


def test_a_saved_dataset_of_several_splits(tmp_path, datasets):
    parts = {"train": dataset_of(datasets, [RED, GREEN]), "test": dataset_of(datasets, [BLUE])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "d")
    assert [colour_of(s) for s in load_samples(tmp_path / "d")] == [RED, GREEN, BLUE]
    assert [colour_of(s) for s in load_samples(tmp_path / "d", split="test")] == [BLUE]
    with pytest.raises(UsageError, match=r"'tset'; did you mean 'test'\? its splits: train \(2\), test \(1\)"):
        load_samples(tmp_path / "d", split="tset")


def test_the_image_column_is_the_one_of_images_whatever_its_name_and_format(tmp_path, datasets):
    whole = dataset_of(datasets, [RED, GREEN, BLUE], column="picture", answers=[["a", "b"], ["c"], []])
    whole.with_format("arrow").select([2, 0]).save_to_disk(tmp_path / "d")
    samples = load_samples(tmp_path / "d")
    assert [colour_of(sample) for sample in samples] == [BLUE, RED]
    assert [sample.answers for sample in samples] == [(), ("a", "b")]


def test_a_dataset_may_name_image_files(tmp_path, datasets):
    save(tmp_path / "pictures" / "x.png", GREEN)
    datasets.Dataset.from_dict({"image": ["x.png"]}).save_to_disk(tmp_path / "d")
    [sample] = load_samples(tmp_path / "d", images=tmp_path / "pictures")
    assert (sample.id, colour_of(sample)) == ("x.png", GREEN)


def test_ids_of_a_dataset_survive_shuffling(tmp_path, datasets):
    dataset = dataset_of(datasets, [RED, GREEN, BLUE])
    dataset.save_to_disk(tmp_path / "a")
    dataset.select([2, 0, 1]).save_to_disk(tmp_path / "b")
    before = {sample.id: colour_of(sample) for sample in load_samples(tmp_path / "a")}
    assert {sample.id: colour_of(sample) for sample in load_samples(tmp_path / "b")} == before
    assert len(before) == 3


def test_a_dataset_without_images_or_with_too_many_is_an_error(tmp_path, datasets):
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "none")
    with pytest.raises(DataError, match="has no column `image`; its columns: text"):
        load_samples(tmp_path / "none")
    two = datasets.Features({"left": datasets.Image(), "right": datasets.Image()})
    datasets.Dataset.from_dict({"left": [picture()], "right": [picture()]}, two).save_to_disk(tmp_path / "two")
    with pytest.raises(DataError, match="several columns of images, left, right: say which one with --image-column"):
        load_samples(tmp_path / "two")

    reading = ReadingOptions(image_column="right")
    assert len(load_samples(tmp_path / "two", reading=reading)) == 1


def test_a_damaged_saved_dataset_is_an_error(tmp_path):
    (tmp_path / "state.json").write_text("{")
    with pytest.raises(DataError, match="is damaged"):
        load_samples(tmp_path)


def test_a_name_with_an_owner_is_looked_up_on_the_hub(datasets, monkeypatch):
    asked = []

    def load_dataset(name):
        asked.append(name)
        return datasets.DatasetDict(validation=dataset_of(datasets, [BLUE], id=["x"]))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    [sample] = load_samples("some-lab/birds-v1.5", split="validation")
    assert (asked, sample.id, colour_of(sample)) == (["some-lab/birds-v1.5"], "x", BLUE)
    assert sample.name == "some-lab/birds-v1.5[validation] row 0"


def test_a_hub_that_does_not_answer_is_an_error_with_its_reason(datasets, monkeypatch):
    def load_dataset(name):
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(DataError, match=r"'org/name' is no path on this disk, .* \(ConnectionError: no route\)"):
        load_samples("org/name")


def test_a_path_to_a_missing_file_is_not_taken_for_a_hub_name(datasets, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "load_dataset", lambda name: pytest.fail("asked the hub"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    for source in ("data/train.jsonl", "data/train.JSON", "here/train", "nowhere", "a/b/c", "/a/b", Path("a/b")):
        with pytest.raises(DataError, match="does not exist; samples come from"):
            load_samples(source)


def test_without_datasets_the_error_names_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    (tmp_path / "state.json").write_text("{}")
    for source in (tmp_path, "org/name"):
        with pytest.raises(DataError, match=r"pip install 'vitrail\[datasets\]'"):
            load_samples(source)


# --- Toyland --------------------------------------------------------------------------------------------------------


def test_the_word_toyland_gives_the_train_split_of_the_bundled_world(tmp_path, monkeypatch):
    monkeypatch.setenv("VITRAIL_CACHE", str(tmp_path))
    monkeypatch.setattr("vitrail.toyland.dataset_path", partial(toyland.dataset_path, samples=10))
    samples = load_samples("toyland")
    assert ids(samples) == ["0", "1", "2", "3", "4", "5", "6", "7"]
    assert all(sample.references and tmp_path in sample.image.parents for sample in samples)
    assert samples[0].open().mode == "RGB"
    assert ids(load_samples("toyland", split="val")) == ["8"]


# --- ids ------------------------------------------------------------------------------------------------------------


def write_everything(folder: Path, shuffle: random.Random):
    """One source of each format over the same data, the records in the order of `shuffle`."""
    numbers = list(range(6))
    shuffle.shuffle(numbers)
    colours = [(40 * i, 0, 0) for i in numbers]
    for i in numbers:
        save(folder / "images" / f"{i}.png", (40 * i, 0, 0))
    write_json(folder / "coco.json", {"images": [karpathy_record(i) for i in numbers]})
    write_jsonl(folder / "data.jsonl", [{"image": f"images/{i}.png"} for i in numbers])
    parquet_of_bytes(folder / "data.parquet", colours)
    questions = vqa_files(folder, count=6)
    edit_json(questions, lambda document: shuffle.shuffle(document["questions"]))
    return [folder / name for name in ("images", "coco.json", "data.jsonl", "data.parquet")] + [questions]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ids_depend_neither_on_the_order_nor_on_the_place(tmp_path, seed):
    here = write_everything(tmp_path / "here", random.Random(0))
    there = write_everything(tmp_path / "far" / "there", random.Random(seed))
    for one, other in zip(here, there, strict=True):
        first = {s.id: (s.references, s.question, s.answers) for s in load_samples(one)}
        second = {s.id: (s.references, s.question, s.answers) for s in load_samples(other)}
        assert first == second
        assert len(first) == 6


def test_a_sample_survives_a_change_of_the_working_directory(tmp_path, monkeypatch):
    save(tmp_path / "x" / "a.png", BLUE)
    monkeypatch.chdir(tmp_path)
    samples = load_samples("x") + load_samples(write_jsonl(Path("d.jsonl"), [{"image": "a.png"}]), images="x")
    monkeypatch.chdir("/")
    assert [colour_of(sample) for sample in samples] == [BLUE, BLUE]


@pytest.mark.parametrize("twice", [[1, 1], [1, "1"]])
def test_two_samples_of_one_id_are_an_error_that_names_both(tmp_path, twice):
    records = [{"image": f"{i}.png", "id": key} for i, key in enumerate(["0", *twice])]
    with pytest.raises(DataError, match=r"data\.jsonl:2 and .*data\.jsonl:3 have the same id, '1'"):
        load_samples(write_jsonl(tmp_path / "data.jsonl", records))


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [{"images": []}, {"questions": []}])
def test_an_empty_json_is_an_error(tmp_path, content):
    with pytest.raises(DataError, match="is empty: it holds no samples"):
        load_samples(write_json(tmp_path / "x.json", content))


def test_empty_tables_are_errors(tmp_path):
    (tmp_path / "x.jsonl").write_text("\n")
    pq.write_table(pa.table({"image": pa.array([], pa.string())}), tmp_path / "x.parquet")
    for name in ("x.jsonl", "x.parquet"):
        with pytest.raises(DataError, match="is empty: it holds no samples"):
            load_samples(tmp_path / name)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("trian", r"no samples in split 'trian'; did you mean 'train'\? its splits: train \(2\), val \(1\)"),
        ("zzz", r"no samples in split 'zzz'; its splits: train \(2\), val \(1\)"),
    ],
)
def test_an_unknown_split_names_the_splits_that_exist_with_their_counts(tmp_path, split, message):
    records = [karpathy_record(i, name) for i, name in enumerate(["train", "val", "train"])]
    source = write_json(tmp_path / "k.json", {"images": records})
    with pytest.raises(UsageError, match=message):
        load_samples(source, split=split)


def test_a_split_of_data_without_splits_is_an_error(tmp_path):
    save(tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"no samples in split 'val'; its splits: without a name \(1\)"):
        load_samples(tmp_path, split="val")


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_an_error(tmp_path, limit):
    with pytest.raises(UsageError, match=f"limit should be at least 1, got {limit}"):
        load_samples(tmp_path, limit=limit)


def test_a_parameter_that_a_format_has_no_use_for_is_an_error(tmp_path):
    save(tmp_path / "a.png")
    source = write_jsonl(tmp_path / "d.jsonl", [{"image": "a.png"}])
    with pytest.raises(UsageError, match="is a folder of images, which has no use for images="):
        load_samples(tmp_path, images=tmp_path)
    with pytest.raises(UsageError, match=r"is a JSONL file, which has no use for annotations='a\.json'"):
        load_samples(source, reading=ReadingOptions(annotations=Path("a.json")))
    with pytest.raises(DataError, match=r"folder of images .*nowhere does not exist"):
        load_samples(source, images=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [\n  {"a": 1},\n  oops]}', r"x\.json: malformed JSON: line 3, column 3: Expecting value"),
        ('{"images": []} {"images": []}', r"x\.json: malformed JSON: text after the end of the document, '{"),
        ('{"questions": []}\n}', r"x\.json: malformed JSON: text after the end"),
        ("", r"x\.json is no JSON, it begins with ''; samples come from"),
        ("a,b\n1,2", r"x\.json is no JSON, it begins with 'a,b.*; samples come from"),
        ('[{"caption": "a"}]', r"x\.json holds a JSON list; samples come from"),
        ('{"model": 1,\n "size": 2}', r"x\.json holds a JSON dict of 'model', 'size'; samples come from"),
        ('{"images": [{"id": 1}], "annotations": []}', r"images\[0\]: field 'file_name' is missing"),
        ('{"images": {"a": 1}}', r"x\.json: field 'images' should be list, got {'a': 1}"),
        ('{"images": ["a.png"]}', r"x\.json: images\[0\] should be an object, got 'a\.png'"),
    ],
)
def test_a_json_that_is_not_what_we_read_is_an_error_that_says_why(tmp_path, content, message):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(DataError, match=message):
        load_samples(tmp_path / "x.json")


@pytest.mark.parametrize("line", ['{"image": }', "[1, 2]", "3", '{"image": "y.png"} {"image": "z.png"}'])
@pytest.mark.parametrize("name", ["d.jsonl", "d.json"])
def test_a_bad_line_of_jsonl_is_named(tmp_path, line, name):
    (tmp_path / name).write_text('{"image": "x.png"}\n\n' + line + "\n")
    with pytest.raises(DataError, match=rf"{name}:3: JSONL has one JSON object a line, got "):
        load_samples(tmp_path / name, reading=STRICT)


def test_a_file_that_is_no_text_is_an_error(tmp_path):
    save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png is not UTF-8 text .*samples come from"):
        load_samples(tmp_path / "a.png")


def test_a_file_that_may_not_be_read_is_an_error(tmp_path, monkeypatch):
    source = write_jsonl(tmp_path / "d.jsonl", [{"image": "a.png"}])

    def refuse(*_, **__):
        raise PermissionError("not for you")

    monkeypatch.setattr("vitrail.samples.files.open_regular", refuse)
    with pytest.raises(DataError, match=r"d\.jsonl cannot be read \(PermissionError: not for you\)"):
        load_samples(source)


def test_a_damaged_parquet_file_is_an_error(tmp_path):
    path = parquet_of_bytes(tmp_path / "d.parquet", [RED, GREEN])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"d\.parquet: damaged Parquet file"):
        load_samples(path)


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "damaged").iterdir()), ids=lambda path: path.stem)
def test_a_parquet_file_whose_metadata_do_not_fit_its_data_is_an_error(path):
    """Files that fuzzing found."""
    with pytest.raises(DataError, match=rf"{path.name}: damaged Parquet file"):
        load_samples(path)


def test_a_parquet_file_without_images_names_its_columns(tmp_path):
    pq.write_table(pa.table({"thing": ["a.png"], "caption": ["a"]}), tmp_path / "d.parquet")
    with pytest.raises(DataError, match="has no column `image`; its columns: thing, caption"):
        load_samples(tmp_path / "d.parquet")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"caption": "x", "id": 1}, r"d\.jsonl:2: field 'image' is missing; the record has caption, id"),
        ({}, r"d\.jsonl:2: field 'image' is missing; the record has no fields"),
        ({"image": 5}, r"d\.jsonl:2: field 'image' should be str or EncodedImage, got 5"),
        ({"image": "a", "id": 1.5}, r"d\.jsonl:2: field 'id' should be int or str, got 1\.5"),
        ({"image": "a", "id": True}, r"d\.jsonl:2: field 'id' should be int or str, got True"),
        ({"image": "a", "split": 3}, r"d\.jsonl:2: field 'split' should be str, got 3"),
        ({"image": "a", "question": ["x"]}, r"d\.jsonl:2: field 'question' should be str, got \['x'\]"),
        ({"image": "a", "caption": ["x", 3]}, r"d\.jsonl:2: field 'caption' should hold text, got \['x', 3\]"),
        ({"image": "a", "answers": [{"a": "x"}]}, r"d\.jsonl:2: field 'answers' should hold text, got \[{'a'"),
        (
            {"image": "a", "caption": "x", "captions": ["x"]},
            r"d\.jsonl:2: fields 'caption' and 'captions' mean the same",
        ),
    ],
)
def test_a_record_that_lacks_a_field_or_has_a_wrong_one_is_named(tmp_path, record, message):
    source = write_jsonl(tmp_path / "d.jsonl", [{"image": "x.png"}, record])
    with pytest.raises(DataError, match=message):
        load_samples(source, reading=STRICT)


@pytest.mark.parametrize("field", ["filename", "sentences", "cocoid"])
def test_a_karpathy_record_that_lacks_a_field_is_named(tmp_path, field):
    record = karpathy_record(2)
    del record[field]
    source = write_json(tmp_path / "k.json", {"images": [karpathy_record(1), {**record, "imgid": None}]})
    shown = "field 'imgid' should be int or str, got None" if field == "cocoid" else f"field '{field}' is missing"
    with pytest.raises(DataError, match=rf"k\.json: images\[1\]: {shown}"):
        load_samples(source, reading=STRICT)


def test_a_karpathy_sentence_without_text_is_named(tmp_path):
    record = {**karpathy_record(1), "sentences": [{"raw": "a"}, {"tokens": ["b"]}]}
    with pytest.raises(DataError, match=r"images\[0\]\.sentences\[1\]: field 'raw' is missing; the record has tokens"):
        load_samples(write_json(tmp_path / "k.json", {"images": [record]}))


@pytest.mark.parametrize("field", ["question", "question_id", "image_id"])
def test_a_vqa_record_that_lacks_a_field_is_named(tmp_path, field):
    questions = vqa_files(tmp_path)
    edit_json(questions, lambda document: document["questions"][1].pop(field))
    with pytest.raises(DataError, match=rf"questions\[1\]: field '{field}' is missing; the record has"):
        load_samples(questions, reading=STRICT)


DEEP, ENDLESS = "[" * 100_000, "9" * 5000

#: A file → its content, and what is said of it.
REFUSED = {
    "deep.json": (DEEP, r"deep\.json: malformed JSON: it is nested too deeply"),
    "deep.jsonl": ('{"image": ' + DEEP, r"deep\.jsonl:1: JSONL .* \(it is nested too deeply\)"),
    "endless.json": (
        f'{{"images": [{{"cocoid": {ENDLESS}}}]}}',
        r"endless\.json: malformed JSON: a number has too",
    ),
    "endless.jsonl": (f'{{"image": "a.png", "id": {ENDLESS}}}', r"endless\.jsonl:1: .* \(a number has too many digits"),
    "twice.json": ('{"images": [], "images": [1]}', r"twice\.json: malformed JSON: the name 'images' stands twice"),
    "twice.jsonl": ('{"image": "a.png", "id": 1, "id": 2}', r"twice\.jsonl:1: .* \(the name 'id' stands twice"),
    "nan.jsonl": ('{"image": "a.png", "id": NaN}', r"nan\.jsonl:1: .* \(NaN is no number of JSON"),
    "twice.csv": ("image,caption,caption\na.png,a dog,a cat", r"twice\.csv has two columns that .* 'caption'"),
    "list.csv": (f"image|captions\na.png|{DEEP}", r"list\.csv:2: field 'captions': malformed JSON: it is nested"),
    "empty.jsonl": ('{"image": "", "caption": "a"}', r"empty\.jsonl:1: field 'image' is empty; the path"),
    "lists.jsonl": ('{"image": "a.png", "split": ["val"], "caption": "a"}', r"lists\.jsonl:1: field 'split' should be"),
    "latin.jsonl": ('{"image": "hünd.png"}'.encode("latin-1"), r"latin\.jsonl is not UTF-8 text \(byte 12\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_in_one_way_alone_is_refused_by_its_file(tmp_path, name):
    content, message = REFUSED[name]
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        load_samples(tmp_path / name)


@pytest.mark.parametrize("name", ["n" * 300, "n" * 300 + ".json", f"a/{'n' * 5000}", "a\0b", "a\udcffb"], ids=ascii)
def test_a_name_that_no_disk_could_hold_is_an_error(name):
    with pytest.raises(DataError, match=r"cannot be read|does not exist"):
        load_samples(name)


def test_two_columns_of_one_name_in_parquet_are_an_error(tmp_path):
    columns = [pa.array(["a.png"]), pa.array(["a dog"]), pa.array(["a cat"])]
    pq.write_table(pa.table(columns, names=["image", "caption", "caption"]), tmp_path / "d.parquet")
    with pytest.raises(DataError, match=r"d\.parquet has two columns that are 'caption'"):
        load_samples(tmp_path / "d.parquet")


def test_text_in_parquet_that_is_not_utf8_is_an_error(tmp_path):
    caption = pa.array([b"h\xfcnd"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"image": ["a.png"], "caption": caption}), tmp_path / "d.parquet")
    with pytest.raises(DataError, match=r"d\.parquet: damaged Parquet file .*utf-8"):
        load_samples(tmp_path / "d.parquet")


@pytest.mark.parametrize("field", ["id", "caption", "question"])
def test_half_a_surrogate_pair_is_an_error_here_and_not_at_the_end_of_a_run(tmp_path, field):
    (tmp_path / "d.jsonl").write_text(json.dumps({"image": "x.png", field: "\ud83d"}))
    with pytest.raises(DataError, match=r"d\.jsonl:1: text that is not valid Unicode"):
        load_samples(tmp_path / "d.jsonl")


def test_a_file_name_too_long_for_any_disk_is_an_error_only_when_it_is_opened(tmp_path):
    record = {**karpathy_record(1), "filename": "x" * 5000}
    [sample] = load_samples(write_json(tmp_path / "k.json", {"images": [record]}))
    with pytest.raises(DataError, match="sample '1'"):
        sample.open()


# --- images ---------------------------------------------------------------------------------------------------------


def opened(tmp_path, image, name="x.png", **options):
    image.save(tmp_path / name, **options)
    return Sample("x", tmp_path / name).open()


def test_an_image_stands_upright(tmp_path):
    image = picture(size=(4, 2))
    exif = image.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned = opened(tmp_path, image, exif=exif)
    assert turned.size == (2, 4)
    image.info["exif"] = exif.tobytes()
    assert Sample("x", image).open().size == (2, 4)


#: Every mode that Pillow has → a grey image in it (128 of 255, opaque).
GREY = {
    "1": Image.new("1", (4, 3), 1),  # which has black and white alone
    "L": Image.new("L", (4, 3), 128),
    "P": Image.new("L", (4, 3), 128).convert("P"),
    "RGB": Image.new("RGB", (4, 3), (128,) * 3),
    "RGBA": Image.new("RGBA", (4, 3), (128, 128, 128, 255)),
    "RGBa": Image.new("RGBA", (4, 3), (128, 128, 128, 255)).convert("RGBa"),
    "RGBX": Image.new("RGB", (4, 3), (128,) * 3).convert("RGBX"),
    "CMYK": Image.new("CMYK", (4, 3), (0, 0, 0, 127)),
    "YCbCr": Image.new("YCbCr", (4, 3), (128, 128, 128)),
    "HSV": Image.new("HSV", (4, 3), (0, 0, 128)),
    "LAB": Image.new("LAB", (4, 3), (137, 128, 128)),
    "LA": Image.new("LA", (4, 3), (128, 255)),
    "La": Image.new("LA", (4, 3), (128, 255)).convert("La"),
    "PA": Image.new("L", (4, 3), 128).convert("P").convert("PA"),
    **{mode: Image.new(mode, (4, 3), 128 * 256) for mode in ("I;16", "I;16L", "I;16B", "I;16N")},
    "I": None,
    "F": None,
}


def test_every_mode_of_pillow_has_a_row():
    assert set(Image.MODES) <= set(GREY)


@pytest.mark.parametrize("mode", [mode for mode, image in GREY.items() if image is not None])
def test_an_image_of_any_mode_is_read_in_its_own_range(mode):
    result = Sample("x", GREY[mode]).open()
    assert result.mode == "RGB"
    [(n, colour)] = result.getcolors()
    assert n == 12
    expected = 255 if mode == "1" else 128
    assert all(abs(value - expected) <= 2 for value in colour)


@pytest.mark.parametrize("numbers", [np.int32, np.float32])
def test_an_image_of_32_bits_is_refused_since_nothing_says_what_is_white(tmp_path, numbers):
    Image.fromarray(np.array([[0, 1, 1000]], numbers)).save(tmp_path / "x.tif")
    with pytest.raises(DataError, match=r"x\.tif cannot be read \(ValueError: it has 32-bit numbers"):
        Sample("x", tmp_path / "x.tif").open()


@pytest.mark.parametrize("suffix", ["png", "tif", "ppm"])
def test_sixteen_bits_are_read_from_every_format(tmp_path, suffix):
    Image.fromarray(np.array([[0, 30000, 65535]], np.uint16)).save(tmp_path / f"x.{suffix}")
    result = Sample("x", tmp_path / f"x.{suffix}").open()
    assert [result.getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (117,) * 3, (255,) * 3]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_an_image_of_any_mode_becomes_rgb(tmp_path, mode):
    image = Image.new("I;16", (4, 3)) if mode == "I;16" else picture().convert(mode)
    suffix = "tif" if mode in ("CMYK", "YCbCr") else "png"
    result = opened(tmp_path, image, f"x.{suffix}")
    assert (result.mode, result.size) == ("RGB", (4, 3))


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    image = Image.fromarray(np.array([[0, 30000, 65535]], np.uint16))
    result = opened(tmp_path, image)
    assert [result.getpixel((x, 0)) for x in range(3)] == [(0, 0, 0), (117, 117, 117), (255, 255, 255)]


def test_what_is_transparent_is_white(tmp_path):
    assert opened(tmp_path, Image.new("RGBA", (2, 2), (255, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)
    assert opened(tmp_path, Image.new("RGBA", (2, 2), (255, 0, 0, 255))).getpixel((0, 0)) == RED
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    assert opened(tmp_path, palette, transparency=b"\xff\x00").getpixel((0, 0)) == (255, 255, 255)


def test_a_decoded_image_may_stand_in_a_sample():
    sample = Sample("mine", picture(BLUE))
    assert (sample.name, colour_of(sample)) == ("mine", BLUE)


def test_an_image_is_fully_decoded_and_its_file_closed(tmp_path):
    path = save(tmp_path / "x.png", GREEN)
    image = Sample("x", path).open()
    path.unlink()
    assert image.getpixel((3, 2)) == GREEN


def test_a_missing_image_is_an_error_with_id_and_path(tmp_path):
    with pytest.raises(DataError, match=r"sample '17': image .*/gone\.png does not exist"):
        Sample("17", tmp_path / "gone.png").open()


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "webp", "gif", "tif"])
@pytest.mark.parametrize("kept", [0.0, 0.05, 0.5])
def test_a_truncated_image_is_an_error_with_id_and_path(tmp_path, suffix, kept):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    noise.save(tmp_path / f"x.{suffix}")
    whole = (tmp_path / f"x.{suffix}").read_bytes()
    (tmp_path / f"x.{suffix}").write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(DataError, match=rf"sample '17': image .*/x\.{suffix} cannot be read \(\w+: "):
        Sample("17", tmp_path / f"x.{suffix}").open()


@settings(deadline=None)
@given(where=st.integers(0, 199), byte=st.integers(0, 255))
def test_a_damaged_image_is_read_or_is_a_data_error(where, byte):
    data = bytearray(encoded())
    data[where % len(data)] = byte
    sample = Sample("x", EncodedImage("x", lambda: bytes(data), Path()))
    with contextlib.suppress(DataError):  # nothing else may come out
        assert sample.open().mode == "RGB"


@pytest.mark.parametrize("most", [5, 11])
def test_a_decompression_bomb_is_an_error_and_no_warning_also_where_pil_only_warns(tmp_path, monkeypatch, most):
    save(tmp_path / "x.png")  # 12 pixels: more than the limit, or more than twice as many
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    with pytest.raises(DataError, match=r"sample 'x': image .*x\.png cannot be read \(DecompressionBombError"):
        Sample("x", tmp_path / "x.png").open()


@pytest.mark.parametrize("most", [12, None])
def test_an_image_at_the_limit_is_read(tmp_path, monkeypatch, most):
    save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    assert Sample("x", tmp_path / "x.png").open().size == (4, 3)


def test_a_text_bomb_in_a_png_is_an_error(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("k", "x" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    save(tmp_path / "x.png", pnginfo=info)
    with pytest.raises(DataError, match="cannot be read"):
        Sample("x", tmp_path / "x.png").open()


@pytest.mark.parametrize(("size", "expected"), [((400, 200), (100, 50)), ((30, 60), (30, 60)), ((5000, 1), (100, 1))])
def test_a_thumbnail_is_a_small_jpeg_and_leaves_its_image_alone(size, expected):
    image = Image.new("RGBA", size, (0, 0, 255, 255))
    small = Image.open(io.BytesIO(thumbnail(image, side=100)))
    assert (small.format, small.mode, small.size) == ("JPEG", "RGB", expected)
    assert small.getpixel((0, 0))[2] > 240
    assert (image.size, image.mode) == (size, "RGBA")
    rgb = picture(size=size)
    thumbnail(rgb, side=100)
    assert rgb.size == size


def test_a_thumbnail_carries_no_comment_of_its_source(tmp_path):
    save(tmp_path / "x.jpg", comment=b"secret")
    with Image.open(tmp_path / "x.jpg") as image:
        assert b"secret" not in thumbnail(image)


def test_a_thumbnail_without_a_pixel_is_an_error():
    with pytest.raises(UsageError, match="side should be at least 1 pixel, got 0"):
        thumbnail(picture(), side=0)


def test_a_column_that_is_called_otherwise_is_the_one_that_the_user_names(tmp_path):
    pq.write_table(pa.table({"thing": ["a.png"], "said": ["a"]}), tmp_path / "d.parquet")
    reading = ReadingOptions(image_column="thing", caption_column="said")
    assert load_samples(tmp_path / "d.parquet", reading=reading)[0] == Sample("a.png", tmp_path / "a.png", ("a",))
    with pytest.raises(UsageError, match=r"d\.parquet has no column 'what'; its columns: thing, said"):
        load_samples(tmp_path / "d.parquet", reading=ReadingOptions(image_column="what"))
