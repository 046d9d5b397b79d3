"""The forms that records of images and texts have: what their fields are called, and how images are named.

A form says by which fields it is known, which of them have which role, and, where that is not enough, what becomes of
a record. It holds for every file of such records alike: JSON, JSONL, CSV, Parquet, shards, Hugging Face datasets. A new
form is one entry of `FORMS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, urlsplit

from vitrail.errors import DataError
from vitrail.samples.columns import normal

#: What a record says of a sample: role → value, as it stands in the data.
Said = dict[str, Any]


@dataclass(frozen=True)
class Form:
    """A form of records.

    Args:
        name: in words.
        marks: the fields by which it is known: a table that has all of them has this form.
        roles: role (see `columns.NAMES`) → the field that has it; `data.image` is a field inside another one. Roles
            that are not named here are found by the names of fields.
        files: the names that the image file of a record may have, below the folder of images; the image as written by
            default.
        samples: what a record says of each of its samples; one sample of what it says by default. An `image` of None
            stands for a record without one.
        spread: changes the records of a table together, in place.
    """

    name: str
    marks: frozenset[str]
    roles: Mapping[str, str] = field(default_factory=dict)
    files: Callable[[Said], Sequence[str]] | None = None
    samples: Callable[[Said], Iterable[Said]] | None = None
    spread: Callable[[Sequence[Said]], None] | None = None


def _marks(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _jpg(said: Said) -> list[str]:
    return [f"{said['image']}.jpg", str(said["image"])]


def coco_files(number: int | str, subset: str | None = None) -> list[str]:
    """The names of an image of COCO: `000000000042.jpg` since 2017, `COCO_val2014_000000000042.jpg` before."""
    name = f"{int(number):012d}.jpg"
    years = [f"{split}2014" for split in ([subset] if subset else ["val", "train", "test"])]
    return [name, *(f"COCO_{year}_{name}" for year in years)]


def _coco(said: Said) -> list[str]:
    return coco_files(said["image"])


def _narrated(said: Said) -> list[str]:
    """Localized Narratives: images of COCO by their number, of Flickr30k, ADE20k and Open Images by their name."""
    number = str(said["image"])
    return [*(coco_files(number) if number.isdecimal() else ()), f"{number}.jpg", number]


# ---- questions with choices ------------------------------------------------------------------------------------------


def with_choices(question: str, choices: Sequence[str], hint: str | None = None) -> str:
    """A question with its hint before it and its choices after it.

    >>> with_choices("Which is red?", ["rose", "grass"])
    'Which is red?\\nA. rose\\nB. grass'
    """
    lettered = [f"{chr(ord('A') + i)}. {choice}" for i, choice in enumerate(choices)]
    return "\n".join([*([hint.strip()] if hint and hint.strip() else []), question, *lettered])


def _science(said: Said) -> list[Said]:
    """ScienceQA: the answer is the number of a choice; the image lies at `train/1/image.png`."""
    raw, image = said["record"], said.get("image")
    choices, answer = raw.get("choices"), raw.get("answer")
    if not isinstance(choices, list) or not all(isinstance(c, str) for c in choices):
        raise DataError("field 'choices' should be a list of texts")
    if not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise DataError(f"field 'answer' should be the number of one of {len(choices)} choices, got {answer!r:.80}")
    if isinstance(image, str) and "/" not in image:
        image = "/".join([str(raw.get("split", "")), str(said.get("id", "")), image]).lstrip("/")
    question = with_choices(str(raw.get("question")), choices, raw.get("hint"))
    return [{**said, "image": image, "question": question, "answers": choices[answer]}]


def _lettered(said: Said) -> list[Said]:
    """MMBench: choices in columns A to D (or further), and the letter of the right one."""
    raw = said["record"]
    letters = [c for c in "ABCDEFGH" if raw.get(c) not in (None, "")]
    answer = raw.get("answer")
    question = with_choices(str(raw.get("question")), [str(raw[c]) for c in letters], raw.get("hint"))
    return [{**said, "question": question, "answers": str(raw[answer]) if answer in letters else None}]


def _shared_images(rows: Sequence[Said]) -> None:
    """MMBench: in place of an image stands the index of another record that has it."""
    images = {str(row.get("id")): row.get("image") for row in rows}
    for row in rows:
        if isinstance(image := row.get("image"), str | int) and str(image).isdecimal() and len(str(image)) <= 64:
            row["image"] = images.get(str(image), image)


# ---- conversations ---------------------------------------------------------------------------------------------------

_PLACEHOLDER = re.compile(
    r"[ \t]*<(?:image|img|Image|ImageHere|image_\d+|video)>[ \t]*\n?|\n?<\|(?:image|video)_?(?:pad|\d+)?\|>\n?"
)
_ASKS, _ANSWERS = ("human", "user"), ("gpt", "assistant", "model", "bot", "chatgpt")


def pictured_by(said: Said) -> Any:
    """The image, the images or the video of a record, as it stands in the data; None where there is none."""
    return said.get("image") if said.get("image") is not None else said.get("video")


@dataclass(frozen=True)
class _Turn:
    """Who says what, and how many images are shown with it beside those that have a place in its text."""

    who: str
    text: str
    images: int = 0

    @property
    def shown(self) -> int:
        return self.images + len(_PLACEHOLDER.findall(self.text))


def _turns(said: Said, turns: Sequence[_Turn]) -> list[Said]:
    """A sample for each question that is answered: those after the first have the number of their turn in the id. Of
    several images a question has those that were shown until then.

    Raises:
        DataError: nothing is asked and answered, or several images do not have a place each.
    """
    found: list[Said] = []
    images = given if isinstance(given := said.get("image"), list) else []
    several = len(images) > 1
    if several and sum(turn.shown for turn in turns) != len(images):
        raise DataError(f"{len(images)} images, and {sum(turn.shown for turn in turns)} places for them in its turns")
    for i, (turn, answer) in enumerate(pairwise(turns)):
        if turn.who in _ASKS and answer.who in _ANSWERS:
            asked = _PLACEHOLDER.sub("", turn.text).strip()
            seen = {"image": images[: sum(t.shown for t in turns[: i + 1])] or None} if several else {}
            found.append({**said, **seen, "question": asked, "answers": answer.text, "turn": len(found) + 1})
    if not found:
        raise DataError("no question of a user with an answer after it")
    return found


def _conversation(said: Said) -> list[Said]:
    """LLaVA and ShareGPT: `{"from": "human", "value": "<image>\\nWhat is it?"}, {"from": "gpt", "value": "A dog"}`."""
    turns = []
    for turn in _objects(said["record"].get("conversations"), "conversations"):
        who, text = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
        if not isinstance(who, str) or not isinstance(text, str):
            raise DataError(f"a turn should have a 'from' and a 'value', got {turn!r:.80}")
        turns.append(_Turn(who.lower(), text))
    return _turns(said, turns)


def _messages(said: Said) -> list[Said]:
    """OpenAI and transformers: `{"role": "user", "content": [{"type": "image", …}, {"type": "text", "text": …}]}`."""
    turns: list[_Turn] = []
    images: list[Any] = []
    videos: list[Any] = []
    for message in _objects(said["record"].get("messages"), "messages"):
        content = message.get("content")
        parts = _objects(content, "content") if isinstance(content, list) else [{"type": "text", "text": content}]
        texts = [part.get("text") for part in parts if part.get("type", "text") in ("text", "input_text")]
        if not all(isinstance(text, str) for text in texts):
            raise DataError(f"the text of a message is no text: {content!r:.80}")
        shown = sum(str(part.get("type")) in ("image", "image_url", "input_image") for part in parts)
        turns.append(_Turn(str(message.get("role")).lower(), "\n".join(texts), shown))  # type: ignore[arg-type]
        images += [image for part in parts if (image := _pictured(part)) is not None]
        videos += [part["video"] for part in parts if part.get("video")]
    turns = [turn for turn in turns if turn.who not in ("system", "developer")]
    found = {"image": images or None, "video": videos or None}
    return _turns(said if pictured_by(said) else {**said, **found}, turns)


def _pictured(part: Said) -> Any:
    """The image of a part of a message: a path, a URL, or one with its bytes in it; None for a bare placeholder."""
    found = next((part[name] for name in ("image", "path", "image_url", "url", "image_path") if part.get(name)), None)
    return found.get("url") if isinstance(found, Mapping) and "url" in found else found


def _objects(value: Any, name: str) -> list[Said]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise DataError(f"field {name!r} should be a list of objects, got {value!r:.80}")
    return value


# ---- exports ---------------------------------------------------------------------------------------------------------


def _label_studio(said: Said) -> list[Said]:
    """Label Studio: the task is in `data`, what people wrote in the `result` of each annotation."""
    data = said["record"].get("data")
    if not isinstance(data, dict):
        raise DataError(f"field 'data' should be an object, got {data!r:.80}")
    image = said.get("image") or next(
        (data[name] for name in ("image", "img", "image_url", "url") if name in data), None
    )
    found = {**said, "image": image, "question": said.get("question", data.get("question"))}
    written: dict[str, list[str]] = {"captions": [], "answers": []}
    for annotation in said["record"].get("annotations") or []:
        if annotation.get("was_cancelled"):
            continue
        for result in annotation.get("result") or []:
            value = result.get("value") or {}
            texts = value.get("text") or []
            answers = found["question"] is not None or normal(str(result.get("from_name"))).startswith("answer")
            written["answers" if answers else "captions"] += [texts] if isinstance(texts, str) else texts
    return [{k: v for k, v in {**found, **written}.items() if v}]


def _uploaded(said: Said) -> list[str]:
    """The file of an image of Label Studio: `/data/local-files/?d=a/b.jpg`, `/data/upload/1/ab12cd34-b.jpg`."""
    link = urlsplit(str(said["image"]))
    if local := parse_qs(link.query).get("d"):
        return [local[0], PurePosixPath(local[0]).name]
    name = PurePosixPath(link.path).name
    return [str(said["image"]).lstrip("/"), name, name.partition("-")[2] or name]


#: Every form, in the order in which they are tried. A table that has none of them is read by the names of its columns.
FORMS: list[Form] = [
    Form(
        "conversations (LLaVA, ShareGPT)", _marks("conversations"), {"question": "conversations"}, None, _conversation
    ),
    Form("messages (OpenAI, transformers)", _marks("messages"), {"question": "messages"}, None, _messages),
    Form(
        "an export of Label Studio",
        _marks("data annotations"),
        {"image": "data.image", "captions": "annotations"},
        _uploaded,
        _label_studio,
    ),
    Form("POPE", _marks("question_id image text label"), {"question": "text", "answers": "label"}),
    Form(
        "A-OKVQA",
        _marks("image_id question_id question choices split"),
        {"image": "image_id", "answers": "direct_answers"},
        _coco,
    ),
    Form("TextVQA", _marks("image_id question image_classes"), {"image": "image_id", "split": "set_name"}, _jpg),
    Form(
        "TextCaps",
        _marks("image_id caption_str"),
        {"image": "image_id", "captions": "caption_str", "split": "set_name"},
        _jpg,
    ),
    Form(
        "TextCaps without captions",
        _marks("image_id image_classes set_name"),
        {"image": "image_id", "split": "set_name"},
        _jpg,
    ),
    Form("GQA", _marks("imageId question"), {"image": "imageId", "question_type": "types.structural"}, _jpg),
    Form(
        "ScienceQA",
        _marks("question choices answer hint image"),
        {"question": "question", "answers": "answer"},
        None,
        _science,
    ),
    Form("MMBench", _marks("index question A B image"), {"id": "index"}, None, _lettered, _shared_images),
    Form("Localized Narratives", _marks("dataset_id image_id annotator_id caption"), {"image": "image_id"}, _narrated),
    Form("XM3600", _marks("image/key en"), {"image": "image/key", "captions": "en"}, _jpg),
]


def form_of(columns: Collection[str]) -> Form | None:
    """The form of a table with these columns; None where its columns are read by their names."""
    return next((form for form in FORMS if form.marks <= set(columns)), None)
