"""Every form that captions and questions come in, as a small honest file of it: what it says is read, and said to be.

A new form is one entry of `FORMS`.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.encoded_images import JPEG, animated

from vitrail.errors import DataError, UsageError
from vitrail.samples import ReadingOptions, load_samples
from vitrail.samples.forms import FORMS as RECORD_FORMS


def put(path: Path, content: Any) -> Path:
    """A file: bytes and text as they are, lists of objects as JSONL in `.jsonl`, everything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, list) and path.suffix == ".jsonl":
        content = "\n".join(json.dumps(record, ensure_ascii=False) for record in content)
    if not isinstance(content, bytes | str):
        content = json.dumps(content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def tar(path: Path, entries: dict[str, bytes], mode: str = "w") -> Path:
    pytest.importorskip("webdataset")
    with tarfile.open(path, mode) as file:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


#: A sample: its id, its captions, its question, its answers.
Told = tuple[str, tuple[str, ...], str | None, tuple[str, ...]]


@dataclass(frozen=True)
class Case:
    """A form: what lies in its folder, what of that is the source, and what is read.

    Args:
        files: path below the folder → content; images are `JPEG`.
        source: path of the source below the folder; a function makes it.
        told: the samples.
        columns: some of what the summary says that they were read from.
        not_read: the columns that the summary says were not read.
        split: asked for.
        without_image: how many records have none.
        skipped: how many are skipped.
        size: of the first sample's image; of a strip where it has several.
    """

    files: dict[str, Any]
    source: str | Callable[[Path], Any]
    told: list[Told]
    columns: dict[str, str]
    not_read: tuple[str, ...] = ()
    split: str | None = None
    without_image: int = 0
    skipped: int = 0
    size: tuple[int, int] = (8, 6)
    reading: ReadingOptions = field(default_factory=ReadingOptions)


def parquet(name: str, **columns: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        pq.write_table(pa.table(columns), folder / name)
        return folder / name

    return write


def tsv(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter="\t").writerows(rows)
    return text.getvalue()


LLAVA = {
    "id": "a",
    "image": "1.jpg",
    "conversations": [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": "A dog."},
        {"from": "human", "value": "Where?"},
        {"from": "gpt", "value": "On grass."},
    ],
}
OPENAI = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image", "image": "1.jpg"}, {"type": "text", "text": "What is it?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A dog."}]},
    ]
}
VIZWIZ = {"image": "VizWiz_val_1.jpg", "question": "What is it?", "answers": [{"answer": "dog"}, {"answer": "a dog"}]}
AOKVQA = {"split": "val", "image_id": 42, "question_id": "q1", "question": "What?", "choices": ["cat", "dog"]}
SCIENCE = {
    "question": "Which is red?",
    "choices": ["rose", "grass"],
    "answer": 0,
    "hint": "Look.",
    "image": "image.png",
}
SCIENCE = SCIENCE | {"split": "train", "task": "closed choice"}
GQA = {"imageId": "n1", "question": "Is it red?", "answer": "yes", "types": {"structural": "verify"}, "groups": {}}
NARRATED = {
    "dataset_id": "mscoco_val2017",
    "image_id": "42",
    "annotator_id": 1,
    "traces": [],
    "voice_recording": "x.ogg",
}
XM = {"image/key": "k1", "image/locale": "de", "en": {"caption": ["a dog"]}, "de": {"caption": ["ein Hund"]}}
COCO = {"images": [{"id": 42, "file_name": "000000000042.jpg"}], "annotations": [{"image_id": 42, "caption": "a dog"}]}
NOCAPS = {"images": [{"id": 0, "file_name": "0013ea2087020901.jpg", "domain": "in-domain"}], "licenses": []}
STUDIO = {
    "id": 7,
    "data": {"image": "/data/upload/1/ab12cd34-dog.jpg"},
    "annotations": [
        {"result": [{"from_name": "caption", "type": "textarea", "value": {"text": ["a dog"]}}]},
        {"was_cancelled": True, "result": [{"from_name": "caption", "value": {"text": ["no"]}}]},
    ],
}
FIFTYONE = {"samples": [{"filepath": "data/1.jpg", "tags": [], "caption": "a dog", "_id": {"$oid": "5f"}}]}
SHARD = {"a.jpg": JPEG, "a.txt": b"a dog", "a.json": json.dumps({"url": "x", "caption": "a dog", "width": 8}).encode()}
CHOSEN = "What?\nA. cat\nB. dog"

#: Each form by its name.
CASES: dict[str, Case] = {
    "a JSON list": Case(
        {"d.json": [{"image": "1.jpg", "caption": "a dog", "width": 8}], "1.jpg": JPEG},
        "d.json",
        [("1.jpg", ("a dog",), None, ())],
        {"image": "image", "captions": "caption"},
        ("width",),
    ),
    "a JSON of captions by image": Case(
        {"d.json": {"1.jpg": ["a dog", "one dog"]}, "1.jpg": JPEG},
        "d.json",
        [("1.jpg", ("a dog", "one dog"), None, ())],
        {},
    ),
    "JSONL with text": Case(
        {"d.jsonl": [{"file_name": "1.jpg", "text": "a dog"}], "images/1.jpg": JPEG},
        "d.jsonl",
        [("1.jpg", ("a dog",), None, ())],
        {"image": "file_name", "captions": "text"},
    ),
    "a row per caption": Case(
        {"d.jsonl": [{"image": "1.jpg", "caption": c} for c in ("a dog", "one dog")], "1.jpg": JPEG},
        "d.jsonl",
        [("1.jpg", ("a dog", "one dog"), None, ())],
        {},
    ),
    "numbered captions": Case(
        {"1.jpg": JPEG},
        parquet("d.parquet", image=["1.jpg"], caption_0=["a dog"], caption_1=["one dog"], text=["no"]),
        [("1.jpg", ("a dog", "one dog"), None, ())],
        {"captions": "caption_0, caption_1"},
        ("text",),
    ),
    "sentences of COCO on the hub": Case(
        {},
        parquet(
            "d.parquet", image=[{"bytes": JPEG, "path": None}], sentences_raw=[["a dog"]], cocoid=[42], filename=["1"]
        ),
        [("", ("a dog",), None, ())],
        {"captions": "sentences_raw", "image": "image"},
        ("cocoid", "filename"),
    ),
    "CSV with a line break in quotes": Case(
        {"d.csv": 'image,caption\n1.jpg,"a black dog\nruns"\n2.jpg,a cat\n', "1.jpg": JPEG, "2.jpg": JPEG},
        "d.csv",
        [("1.jpg", ("a black dog\nruns",), None, ()), ("2.jpg", ("a cat",), None, ())],
        {},
    ),
    "CSV of an old Mac": Case(
        {"d.csv": "image,caption\r1.jpg,a dog\r2.jpg,a cat\r", "1.jpg": JPEG, "2.jpg": JPEG},
        "d.csv",
        [("1.jpg", ("a dog",), None, ()), ("2.jpg", ("a cat",), None, ())],
        {"captions": "caption"},
    ),
    "CSV of pandas with a list": Case(
        {"d.csv": "filename,raw\n1.jpg,\"['a dog', 'one, dog']\"\n", "1.jpg": JPEG},
        "d.csv",
        [("1.jpg", ("a dog", "one, dog"), None, ())],
        {"captions": "raw"},
    ),
    "JSONL with several images": Case(
        {"d.jsonl": [{"images": ["1.jpg", "2.jpg"], "caption": "a dog, and a cat"}], "1.jpg": JPEG, "2.jpg": JPEG},
        "d.jsonl",
        [("1.jpg + 2.jpg", ("a dog, and a cat",), None, ())],
        {"image": "images", "captions": "caption"},
        size=(17, 6),
    ),
    "LLaVA with several images": Case(
        {
            "d.json": [
                {
                    "id": 7,
                    "image": ["1.jpg", "2.jpg"],
                    "conversations": [
                        {"from": "human", "value": "<image>\nWhat is it?"},
                        {"from": "gpt", "value": "A dog."},
                        {"from": "human", "value": "And here? <image>"},
                        {"from": "gpt", "value": "A cat."},
                    ],
                }
            ],
            "1.jpg": JPEG,
            "2.jpg": JPEG,
        },
        "d.json",
        [("7", (), "What is it?", ("A dog.",)), ("7#2", (), "And here?", ("A cat.",))],
        {"image": "image", "question": "conversations"},
    ),
    "messages with several images": Case(
        {
            "d.jsonl": [
                {
                    "id": "m",
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {"type": "image", "image": "1.jpg"},
                                {"type": "image", "image": "2.jpg"},
                                {"type": "text", "text": "Which is the dog?"},
                            ],
                        },
                        {"role": "assistant", "content": [{"type": "text", "text": "The first."}]},
                    ],
                }
            ],
            "1.jpg": JPEG,
            "2.jpg": JPEG,
        },
        "d.jsonl",
        [("m", (), "Which is the dog?", ("The first.",))],
        {},
        size=(17, 6),
    ),
    "a video": Case(
        {"d.jsonl": [{"video": "1.gif", "caption": "a dog runs"}], "1.gif": animated()},
        "d.jsonl",
        [("1.gif", ("a dog runs",), None, ())],
        {"video": "video", "captions": "caption"},
        size=(26, 6),
        reading=ReadingOptions(frames=3),
    ),
    "Parquet with several images": Case(
        {},
        parquet("d.parquet", images=[[{"bytes": JPEG}] * 2, [{"bytes": JPEG}]], caption=["two", "one"], id=[1, 2]),
        [("1", ("two",), None, ()), ("2", ("one",), None, ())],
        {"image": "images", "captions": "caption"},
        size=(17, 6),
    ),
    "WebDataset with several images": Case(
        {},
        lambda folder: tar(folder / "a.tar", {"k.0.jpg": JPEG, "k.1.jpg": JPEG, "k.txt": b"two"}),
        [("a/k", ("two",), None, ())],
        {},
        size=(17, 6),
    ),
    "Flickr8k": Case(
        {
            "Flickr8k.token.txt": "1.jpg#0\tA dog .\n1.jpg#1\tOne dog .\n2.jpg#0\tA cat .\n",
            "Flickr_8k.trainImages.txt": "1.jpg\n",
            "Flickr_8k.devImages.txt": "2.jpg\n",
            "Flicker8k_Dataset/1.jpg": JPEG,
        },
        "Flickr8k.token.txt",
        [("1.jpg", ("A dog .", "One dog ."), None, ())],
        {"captions": "caption"},
        split="train",
    ),
    "Flickr8k, of an old Mac": Case(
        {"captions.token": "1.jpg#0\tA dog .\r1.jpg#1\tOne dog .\r2.jpg#0\tA cat .\r", "1.jpg": JPEG, "2.jpg": JPEG},
        "captions.token",
        [("1.jpg", ("A dog .", "One dog ."), None, ()), ("2.jpg", ("A cat .",), None, ())],
        {"captions": "caption"},
    ),
    "Flickr30k": Case(
        {"results_20130124.token": "1.jpg#0\tA dog .\n", "flickr30k-images/1.jpg": JPEG},
        "results_20130124.token",
        [("1.jpg", ("A dog .",), None, ())],
        {},
    ),
    "LLaVA": Case(
        {"d.json": [LLAVA, {"id": "t", "conversations": LLAVA["conversations"]}], "1.jpg": JPEG},
        "d.json",
        [("a", (), "What is it?", ("A dog.",)), ("a#2", (), "Where?", ("On grass.",))],
        {"question": "conversations", "image": "image"},
        without_image=1,
    ),
    "OpenAI's messages": Case(
        {"d.jsonl": [OPENAI], "1.jpg": JPEG},
        "d.jsonl",
        [("1.jpg", (), "What is it?", ("A dog.",))],
        {"question": "messages"},
    ),
    "messages with the image in them": Case(
        {
            "d.jsonl": [
                {
                    "id": 3,
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {
                                    "type": "image_url",
                                    "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(JPEG).decode()},
                                },
                                {"type": "text", "text": "What?"},
                            ],
                        },
                        {"role": "assistant", "content": "A dog."},
                    ],
                }
            ]
        },
        "d.jsonl",
        [("3", (), "What?", ("A dog.",))],
        {},
    ),
    "messages with images beside them": Case(
        {
            "d.json": [
                {
                    "images": ["1.jpg"],
                    "messages": [
                        {"role": "user", "content": "<image>What?"},
                        {"role": "assistant", "content": "A dog."},
                    ],
                }
            ],
            "1.jpg": JPEG,
        },
        "d.json",
        [("1.jpg", (), "What?", ("A dog.",))],
        {"image": "images"},
    ),
    "VizWiz": Case(
        {"val.json": [VIZWIZ | {"answerable": 1}], "VizWiz_val_1.jpg": JPEG},
        "val.json",
        [("VizWiz_val_1.jpg", (), "What is it?", ("dog", "a dog"))],
        {"question": "question", "answers": "answers"},
        ("answerable",),
    ),
    "OK-VQA": Case(
        {
            "OpenEnded_mscoco_val2014_questions.json": {
                "questions": [{"question_id": 5, "image_id": 42, "question": "What?"}]
            },
            "mscoco_val2014_annotations.json": {
                "annotations": [{"question_id": 5, "image_id": 42, "answers": [{"answer": "dog"}]}]
            },
            "val2014/COCO_val2014_000000000042.jpg": JPEG,
        },
        "OpenEnded_mscoco_val2014_questions.json",
        [("5", (), "What?", ("dog",))],
        {"question": "question", "answers": "annotations"},
    ),
    "A-OKVQA": Case(
        {"aokvqa_v1p0_val.json": [AOKVQA | {"direct_answers": ["dog", "puppy"]}], "val2017/000000000042.jpg": JPEG},
        "aokvqa_v1p0_val.json",
        [("q1", (), "What?", ("dog", "puppy"))],
        {"image": "image_id", "answers": "direct_answers"},
        split="val",
    ),
    "GQA": Case(
        {"val_balanced_questions.json": {"0293": GQA}, "images/n1.jpg": JPEG},
        "val_balanced_questions.json",
        [("0293", (), "Is it red?", ("yes",))],
        {"image": "imageId", "answers": "answer", "question_type": "types.structural"},
        ("groups",),
    ),
    "TextVQA": Case(
        {
            "TextVQA_0.5.1_val.json": {
                "data": [
                    {
                        "question": "What?",
                        "image_id": "f1",
                        "image_classes": ["Dog"],
                        "question_id": 9,
                        "answers": ["x"],
                        "set_name": "val",
                    }
                ]
            },
            "train_images/f1.jpg": JPEG,
        },
        "TextVQA_0.5.1_val.json",
        [("9", (), "What?", ("x",))],
        {"image": "image_id"},
        split="val",
    ),
    "TextCaps": Case(
        {
            "TextCaps_0.1_val.json": {
                "data": [
                    {
                        "image_id": "f1",
                        "caption_id": i,
                        "caption_str": c,
                        "reference_strs": ["a", "b"],
                        "set_name": "val",
                    }
                    for i, c in enumerate(("a", "b"))
                ]
            },
            "train_images/f1.jpg": JPEG,
        },
        "TextCaps_0.1_val.json",
        [("f1", ("a", "b"), None, ())],
        {"captions": "caption_str"},
        ("caption_id", "reference_strs"),
    ),
    "POPE": Case(
        {
            "coco_pope_random.json": "\n".join(
                json.dumps({"question_id": i, "image": "COCO_val2014_1.jpg", "text": "Is there a dog?", "label": a})
                for i, a in ((1, "yes"), (2, "no"))
            ),
            "COCO_val2014_1.jpg": JPEG,
        },
        "coco_pope_random.json",
        [("1", (), "Is there a dog?", ("yes",)), ("2", (), "Is there a dog?", ("no",))],
        {"question": "text", "answers": "label"},
    ),
    "ScienceQA": Case(
        {"problems.json": {"1": SCIENCE, "2": SCIENCE | {"image": None}}, "train/1/image.png": JPEG},
        "problems.json",
        [("1", (), "Look.\nWhich is red?\nA. rose\nB. grass", ("rose",))],
        {"answers": "answer"},
        ("task",),
        without_image=1,
    ),
    "MMBench": Case(
        {
            "dev.tsv": tsv(
                [
                    ["index", "question", "A", "B", "answer", "image", "category"],
                    ["1", "What?", "cat", "dog", "B", base64.b64encode(JPEG).decode(), "animals"],
                    ["2", "What?", "cat", "dog", "A", "1", "animals"],
                ]
            )
        },
        "dev.tsv",
        [("1", (), CHOSEN, ("dog",)), ("2", (), CHOSEN, ("cat",))],
        {"id": "index"},
        ("category",),
    ),
    "nocaps": Case(
        {"nocaps_val_4500_captions.json": COCO, "images/000000000042.jpg": JPEG},
        "nocaps_val_4500_captions.json",
        [("42", ("a dog",), None, ())],
        {"captions": "annotations"},
    ),
    "nocaps without captions": Case(
        {"nocaps_test_image_info.json": NOCAPS, "0013ea2087020901.jpg": JPEG},
        "nocaps_test_image_info.json",
        [("0", (), None, ())],
        {},
    ),
    "Localized Narratives": Case(
        {
            "coco_val.jsonl": [NARRATED | {"caption": c} for c in ("A dog.", "One dog.")],
            "val2017/000000000042.jpg": JPEG,
        },
        "coco_val.jsonl",
        [("42", ("A dog.", "One dog."), None, ())],
        {"image": "image_id"},
        ("traces", "voice_recording"),
    ),
    "XM3600": Case(
        {"captions.jsonl": [XM], "images/k1.jpg": JPEG},
        "captions.jsonl",
        [("k1", ("a dog",), None, ())],
        {"captions": "en"},
        ("image/locale", "de"),
    ),
    "XM3600 in German": Case(
        {"captions.jsonl": [XM], "images/k1.jpg": JPEG},
        "captions.jsonl",
        [("k1", ("ein Hund",), None, ())],
        {"captions": "de"},
        ("image/locale",),
        reading=ReadingOptions(caption_column="de"),
    ),
    "an export of FiftyOne": Case(
        {"samples.json": FIFTYONE, "metadata.json": {}, "data/1.jpg": JPEG},
        ".",
        [("5f", ("a dog",), None, ())],
        {"image": "filepath"},
        ("tags",),
    ),
    "classes of FiftyOne": Case(
        {"labels.json": {"classes": ["cat", "dog"], "labels": {"1": 1}}, "data/1.jpg": JPEG},
        ".",
        [("data/1.jpg", ("dog",), None, ())],
        {"captions": "labels"},
    ),
    "an export of Label Studio": Case(
        {"p.json": [STUDIO], "dog.jpg": JPEG}, "p.json", [("7", ("a dog",), None, ())], {"captions": "annotations"}
    ),
    "an imagefolder with metadata.csv": Case(
        {"metadata.csv": "file_name,text\n1.jpg,a dog\n", "1.jpg": JPEG},
        ".",
        [("1.jpg", ("a dog",), None, ())],
        {"captions": "text"},
    ),
    "an imagefolder with metadata.jsonl by split": Case(
        {
            "train/metadata.jsonl": [{"file_name": "1.jpg", "text": "a dog"}],
            "train/1.jpg": JPEG,
            "test/metadata.jsonl": [{"file_name": "1.jpg", "text": "a cat"}],
            "test/1.jpg": JPEG,
        },
        ".",
        [("train/1.jpg", ("a dog",), None, ())],
        {"captions": "text"},
        split="train",
    ),
    "the root folder of COCO": Case(
        {
            "annotations/captions_val2017.json": COCO,
            "annotations/captions_train2017.json": COCO | {"images": [], "annotations": []},
            "annotations/instances_val2017.json": {},
            "val2017/000000000042.jpg": JPEG,
        },
        ".",
        [("42", ("a dog",), None, ())],
        {},
        split="val",
    ),
    "shards of img2dataset": Case(
        {},
        lambda folder: tar(folder / "0.tar", SHARD),
        [("0/a", ("a dog",), None, ())],
        {"captions": "captions"},
        ("url", "width"),
    ),
    "a compressed shard": Case(
        {},
        lambda folder: tar(folder / "0.tar.gz", SHARD, "w:gz"),
        [("0/a", ("a dog",), None, ())],
        {},
        ("url", "width"),
    ),
    "shards of a pattern": Case(
        {},
        lambda folder: [tar(folder / f"{i}.tar", SHARD) for i in (0, 1, 2)] and str(folder / "[01].tar"),
        [("0/a", ("a dog",), None, ()), ("1/a", ("a dog",), None, ())],
        {},
        ("url", "width"),
    ),
    "Parquet files of a folder": Case(
        {"1.jpg": JPEG},
        lambda folder: (
            [
                parquet(f"train-0000{i}-of-00002.parquet", image=["1.jpg"], caption=["a dog"], id=[i])(folder)
                for i in (0, 1)
            ]
            and str(folder / "*.parquet")
        ),
        [("0", ("a dog",), None, ()), ("1", ("a dog",), None, ())],
        {},
    ),
    "UTF-16": Case(
        {"d.csv": "image,caption\n1.jpg,ein Hündchen\n".encode("utf-16"), "1.jpg": JPEG},
        "d.csv",
        [("1.jpg", ("ein Hündchen",), None, ())],
        {},
    ),
    "latin-1, because it is said": Case(
        {"d.csv": "image,caption\n1.jpg,ein Hündchen\n".encode("latin-1"), "1.jpg": JPEG},
        "d.csv",
        [("1.jpg", ("ein Hündchen",), None, ())],
        {},
        reading=ReadingOptions(encoding="latin-1"),
    ),
    "a few flaws": Case(
        {
            "d.jsonl": '{"image": "1.jpg"}\n{"image": "2.jpg"\n{"image": "3.jpg"}\n{"a": "x"}\n{"image": "4.jpg"}',
            "1.jpg": JPEG,
        },
        "d.jsonl",
        [(f"{i}.jpg", (), None, ()) for i in (1, 3, 4)],
        {},
        ("a",),
        skipped=2,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_form_gives_its_samples_and_says_what_was_read(name, tmp_path):
    case = CASES[name]
    for path, content in case.files.items():
        put(tmp_path / path, content)
    source = case.source(tmp_path) if callable(case.source) else tmp_path / case.source
    samples = load_samples(source, split=case.split, reading=case.reading)
    told = [(s.id, s.references, s.question, s.answers) for s in samples]
    if [t[0] for t in case.told] == [""]:  # a hash of the image
        told = [("", *t[1:]) for t in told]
    assert told == case.told
    assert samples[0].open().size == case.size
    summary = samples.summary
    assert (summary.samples, summary.captioned) == (len(told), sum(bool(t[1]) for t in told))
    assert summary.asked == sum(t[2] is not None for t in told)
    assert {role: summary.columns.get(role) for role in case.columns} == case.columns
    assert (summary.not_read, summary.without_image, summary.skipped) == (
        case.not_read,
        case.without_image,
        case.skipped,
    )
    assert all(text in str(summary) for text in (f"{len(told)} samples", *case.not_read))


def test_every_form_of_records_has_a_file_here(tmp_path):
    seen = set()
    for case in CASES.values():
        for path, content in case.files.items():
            records = content if isinstance(content, list) else []
            if isinstance(content, dict):
                records = content.get("data") or list(content.values())
            if isinstance(content, str) and content.startswith("{"):
                records = [json.loads(content.split("\n")[0])]
            if path.endswith(".tsv"):
                records = [dict.fromkeys(content.split("\r\n")[0].split("\t"))]
            keys = {key for record in records if isinstance(record, dict) for key in record}
            seen |= {form.name for form in RECORD_FORMS if form.marks <= keys}
    assert seen == {form.name for form in RECORD_FORMS}


#: What cannot be used as it is → its file, and what is said of it.
REFUSED: dict[str, tuple[str, Any, str]] = {
    "CC3M": ("cc3m.tsv", "a dog on grass\thttps://example.org/1.jpg\n", "img2dataset"),
    "CC12M": ("cc12m.tsv", "https://example.org/1.jpg\ta dog on grass\n", "img2dataset"),
    "LAION in JSONL": (
        "d.jsonl",
        [{"URL": "https://example.org/1.jpg", "TEXT": "a dog"}],
        r"\(column 'URL'\).*img2dataset",
    ),
    "URLs as images": (
        "d.jsonl",
        [{"image": "https://example.org/1.jpg"}],
        r"d\.jsonl:1: its image is at 'https.*img2dataset",
    ),
    "a list without images": (
        "d.jsonl",
        [{"images": [], "caption": "a"}],
        r"d\.jsonl:1 has a list with no image in it",
    ),
    "two videos": (
        "d.jsonl",
        [{"videos": ["1.mp4", "2.mp4"], "caption": "a"}],
        r"d\.jsonl:1 has 2 videos, or images and a video; a sample has an image, several of them, or one video",
    ),
    "images without a place for each": (
        "d.json",
        [
            {
                "images": ["1.jpg", "2.jpg"],
                "conversations": [{"from": "human", "value": "<image>What?"}, {"from": "gpt", "value": "A dog."}],
            }
        ],
        r"d\.json: \[0\]: 2 images, and 1 places for them in its turns",
    ),
    "no column of images": (
        "d.csv",
        "photo id,caption\n1,a dog\n",
        "has no column `image`; its columns: photo id, caption",
    ),
    "an open quotation mark": (
        "d.csv",
        'image,caption\n1.jpg,a\n2.jpg,"a dog\n3.jpg,b\n',
        r"d\.csv:3: malformed CSV: a quotation",
    ),
    "latin-1 that nobody said": (
        "d.csv",
        "image,caption\n1.jpg,Hündchen".encode("latin-1"),
        r"not UTF-8 text \(byte 21\); .* --encoding",
    ),
    "more than half bad": (
        "d.jsonl",
        '{"image": "1.jpg"}\n{"im\n{"im\n',
        r"2 of 3 records of .* the first: .*d\.jsonl:2: JSONL",
    ),
    "two names of one thing": (
        "d.jsonl",
        [{"image": "1.jpg", "text": "a", "description": "b"}],
        "mean the same; keep one, or say which with --caption-column",
    ),
    "no question with an answer": (
        "d.json",
        [{"image": "1.jpg", "conversations": [{"from": "gpt", "value": "A dog."}]}],
        "no question of a user with an answer",
    ),
    "a value of a thousand characters": ("d.jsonl", [{"image": "1.jpg", "id": [1] * 999}], r"got \[1, .{70,75}…$"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_as_it_is_says_what_to_do(name, tmp_path):
    file, content, message = REFUSED[name]
    with pytest.raises(DataError, match=message) as raised:
        load_samples(put(tmp_path / file, content))
    assert len(str(raised.value)) < 600


def test_laions_parquet_says_that_its_images_must_be_downloaded(tmp_path):
    with pytest.raises(DataError, match=r"\(column 'URL'\).*img2dataset"):
        load_samples(parquet("laion.parquet", URL=["https://example.org/1.jpg"], TEXT=["a dog"])(tmp_path))


def test_a_folder_of_coco_with_several_splits_asks_which(tmp_path):
    for part in ("train", "val"):
        put(tmp_path / f"annotations/captions_{part}2017.json", COCO)
    with pytest.raises(
        UsageError, match=r"captions_train2017\.json, captions_val2017\.json: say which split, such as --split train"
    ):
        load_samples(tmp_path)


def test_strict_reading_stops_at_the_first_flaw_and_at_a_missing_image(tmp_path):
    strict = ReadingOptions(strict=True)
    flawed = put(tmp_path / "d.jsonl", '{"image": "1.jpg"}\n{"im\n{"image": "2.jpg"}')
    with pytest.raises(DataError, match=r"d\.jsonl:2: JSONL"):
        load_samples(flawed, reading=strict)
    with pytest.raises(DataError, match=r"1 images do not exist; the first, of sample '1\.jpg'"):
        load_samples(put(tmp_path / "e.jsonl", [{"image": "1.jpg"}]), reading=strict)


def test_the_summary_counts_the_images_that_are_there(tmp_path):
    put(tmp_path / "1.jpg", JPEG)
    samples = load_samples(put(tmp_path / "d.jsonl", [{"image": f"{i}.jpg", "caption": "x"} for i in range(3)]))
    assert (samples.summary.looked_at, samples.summary.found) == (3, 1)
    assert "1 of 3 images looked for are there (from image)" in str(samples.summary)


def test_there_is_no_such_encoding():
    with pytest.raises(UsageError, match="no encoding 'latin-99'"):
        ReadingOptions(encoding="latin-99")
