"""Toyland on disk, like real data sets: COCO captions in Karpathy's format, VQAv2 questions, and the factors.

DIR/dataset_coco.json                                  captions, splits train (80 %), val (10 %), test (10 %)
DIR/{split}2014/COCO_{split}2014_000000000000.jpg      images
DIR/v2_OpenEnded_mscoco_{split}2014_questions.json     questions
DIR/v2_mscoco_{split}2014_annotations.json             ten answers to each
DIR/factors.parquet                                    the factors of every scene, by sample id
DIR/masks/0.png                                        which part of the picture stands where, by sample id
DIR/masks.json                                         the numbers of the parts, and which part shows which factor
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vitrail.artifacts import read_json, same_volume_free, write_json, write_whole
from vitrail.errors import ArtifactError, UsageError
from vitrail.progress import Progress, silent
from vitrail.toyland.draw import COMPANION, GROUND, SKY, SUBJECT, draw_with_parts
from vitrail.toyland.ground_truth import MASKS, MasksOf, mask_path
from vitrail.toyland.language import STYLES, Question, Style, questions, references, styled
from vitrail.toyland.world import Scene, scene

#: The file beside a data set that says that it is a Toyland, and which.
MARK = "toyland.json"

#: The most scenes of one data set; each seed has its own. The scenes of training have seeds of their own, far above.
SCENES_PER_SEED = 1_000_000
MAX_SEED = 999
_BYTES_PER_SCENE = 13_000
#: Which part of a picture shows which factor; the mood lies over all of it.
SHOWN_BY = MasksOf(
    parts={"sky": [SKY], "ground": [GROUND], "companion": [COMPANION], "subject": [SUBJECT + i for i in range(4)]},
    factors={
        **dict.fromkeys(("kind", "colour", "size", "action", "count"), "subject"),
        "companion": "companion",
        "place": "ground",
        "light": "sky",
    },
)


def split_of(index: int) -> str:
    """The split of the scene with this number: of every ten, eight are train, one is val, one is test."""
    return {8: "val", 9: "test"}.get(index % 10, "train")


def write_dataset(out: str | Path, samples: int, seed: int = 0, progress: Progress = silent) -> Path:
    """Writes a data set of `samples` scenes to the folder `out`, and returns the folder.

    The same arguments give the same bytes. Images that an earlier run has written are kept, so that it can be resumed.

    Raises:
        UsageError: fewer than ten samples (a split would be empty), or a seed out of range.
        ArtifactError: `out` holds something else, or the disk is full.
    """
    out = Path(out)
    if not 10 <= samples <= SCENES_PER_SEED:
        raise UsageError(f"Toyland has 10 to {SCENES_PER_SEED} samples per seed; got {samples}.")
    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"A seed of Toyland is 0 to {MAX_SEED}; got {seed}.")
    _check_folder(out, {"samples": samples, "seed": seed})
    scenes = [scene(seed * SCENES_PER_SEED + i) for i in range(samples)]
    for i, s in enumerate(scenes):
        path, masks = out / image_name(i), mask_path(out, str(i))
        if not (path.exists() and masks.exists()):
            picture, parts = draw_with_parts(s)
            write_whole(path, lambda partial, picture=picture: picture.save(partial, "JPEG", quality=92))  # type: ignore[misc]
            write_whole(masks, lambda partial, parts=parts: parts.save(partial, "PNG"))  # type: ignore[misc]
        progress("toyland", i + 1, samples)
    for split in ("train", "val", "test"):
        _write_vqa(out, split, [(i, s) for i, s in enumerate(scenes) if split_of(i) == split])
    rows = [{"sample_id": str(i), **s.factors()} for i, s in enumerate(scenes)]
    write_whole(out / "factors.parquet", lambda path: pq.write_table(pa.Table.from_pylist(rows), path))
    write_json(out / MASKS, SHOWN_BY)
    write_json(out / "dataset_coco.json", _karpathy(scenes, seed))
    return out


def styled_captions(folder: str | Path, style: Style, n: int = 3) -> dict[str, list[str]]:
    """Sample id → `n` captions in `style`, for every scene of the data set in `folder`.

    Raises:
        UsageError: `folder` is no data set of Toyland, or there is no style of this name.
    """
    mark = Path(folder) / MARK
    if style not in STYLES:
        raise UsageError(f"Toyland has no style {style!r}; it has {', '.join(STYLES)}.")
    if not mark.is_file():
        raise UsageError(f"{folder} holds no Toyland: styles are for its scenes alone. Choose captions by words.")
    made = _made(mark)
    first = made["seed"] * SCENES_PER_SEED
    return {str(i): styled(scene(first + i), style, n) for i in range(made["samples"])}


def _made(mark: Path) -> dict[str, int]:
    """How the Toyland with this `mark` was made."""
    return read_json(mark, dict[str, int], "draw it with `vitrail toyland`")


def image_name(index: int) -> str:
    """The path of an image below the folder of the data set."""
    split = split_of(index)
    return f"{split}2014/COCO_{split}2014_{index:012d}.jpg"


def _check_folder(out: Path, wanted: dict[str, int]) -> None:
    """Checks that the folder is new, or holds the same data set, and that the disk has room for it."""
    mark = out / MARK
    if mark.exists():
        found = _made(mark)
        if found != wanted:
            raise ArtifactError(f"{out} holds another Toyland: {found}, not {wanted}. Name another folder.")
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ArtifactError(f"{out} exists and holds no Toyland. Name another folder, or empty it.")
    need, free = wanted["samples"] * _BYTES_PER_SCENE, same_volume_free(out)
    if need > free:
        raise ArtifactError(
            f"The disk is too small: about {need / 1e9:.2f} GB are needed at {out}, {free / 1e9:.2f} are free."
        )
    write_json(mark, wanted)


def _karpathy(scenes: list[Scene], seed: int) -> dict[str, Any]:
    images, number = [], 0
    for i, s in enumerate(scenes):
        sentences = []
        for text in references(s):
            tokens = text.replace(",", "").split()
            sentences.append({"raw": text, "tokens": tokens, "imgid": i, "sentid": number})
            number += 1
        folder, name = image_name(i).split("/")
        images.append(
            {
                "filepath": folder,
                "filename": name,
                "imgid": i,
                "cocoid": i,
                "split": split_of(i),
                "sentids": [sentence["sentid"] for sentence in sentences],
                "sentences": sentences,
            }
        )
    return {"dataset": f"toyland-{seed}", "images": images}


def _write_vqa(out: Path, split: str, scenes: Iterable[tuple[int, Scene]]) -> None:
    asked, answered = [], []
    for i, s in scenes:
        for k, q in enumerate(questions(s, np.random.default_rng([13, s.seed]))):
            key = {"image_id": i, "question_id": i * 100 + k}
            asked.append({**key, "question": q.text})
            answers = ten_answers(q, np.random.default_rng([17, s.seed, k]))
            answered.append(
                {
                    **key,
                    "question_type": q.type,
                    "answer_type": q.answer_type,
                    "multiple_choice_answer": q.answer,
                    "answers": [
                        {"answer": a, "answer_confidence": "yes", "answer_id": n} for n, a in enumerate(answers, 1)
                    ],
                }
            )
    common = {"data_type": "mscoco", "data_subtype": f"{split}2014"}
    stem = f"v2_OpenEnded_mscoco_{split}2014_questions.json"
    write_json(out / stem, {**common, "task_type": "Open-Ended", "questions": asked})
    write_json(out / f"v2_mscoco_{split}2014_annotations.json", {**common, "annotations": answered})


def ten_answers(question: Question, rng: np.random.Generator) -> list[str]:
    """The answers of ten people: most give the same, some a synonym."""
    words = [question.answer, *question.synonyms]
    odds = [1.0] if len(words) == 1 else [0.8, *[0.2 / (len(words) - 1)] * (len(words) - 1)]
    return [words[int(i)] for i in rng.choice(len(words), size=10, p=odds)]
