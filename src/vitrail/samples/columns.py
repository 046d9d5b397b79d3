"""Which column of a table means what: by its name, or because the user says so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from vitrail.errors import UsageError

#: What a column may mean to a sample → the names that such columns have, in groups. The first group that a table has
#: any of decides. The names of a group mean the same, and a record may have one of them.
NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "image": (
        *(("image",), ("image_path",), ("img_path",), ("image_file",), ("image_name",), ("file_name",), ("filename",)),
        *(("filepath",), ("file_path",), ("path",), ("img",), ("picture",), ("photo",), ("jpg",), ("png",)),
        ("images",),
    ),
    "video": (("video",), ("video_path",), ("video_file",), ("videos",), ("mp4",)),
    "captions": (
        ("caption", "captions", "references"),
        ("text", "texts", "sentences_raw", "raw", "sentence", "sentences", "comment", "description", "alt_text"),
        ("caption_str", "reference_strs"),
    ),
    "id": (("id",), ("question_id",), ("sample_id",), ("_id",)),
    "question": (("question",),),
    "answers": (("answer", "answers"), ("direct_answers",), ("multiple_choice_answer",)),
    "question_type": (("question_type",),),
    "answer_type": (("answer_type",),),
    "split": (("split",),),
}

#: Columns that hold where an image can be downloaded.
URLS = ("url", "image_url", "img_url", "coco_url", "flickr_url")

_NUMBERED = re.compile(r"(caption|sentence|comment|text|description)_?\d+")


def normal(name: str) -> str:
    """The name of a column, for comparison: `Image Path` and `image_path` are the same.

    >>> normal("Image Path")
    'image_path'
    """
    return re.sub(r"[\s-]+", "_", name.strip().lower())


def roles_of(columns: Sequence[str], chosen: Mapping[str, str], where: str) -> dict[str, tuple[str, ...]]:
    """Role → the columns that have it: one, several that mean the same, or all of `caption_0`, `caption_1`, ….

    Args:
        columns: the names of the table's columns.
        chosen: role → the column that the user chose for it.
        where: the table's place, for messages.

    Raises:
        UsageError: there is no such column as the user chose.
    """
    missing = [column for column in chosen.values() if column.split(".")[0] not in columns and column not in columns]
    if missing:
        raise UsageError(f"{where} has no column {missing[0]!r}; its columns: {listed(columns)}")
    taken = set(chosen.values())
    found: dict[str, tuple[str, ...]] = {role: (column,) for role, column in chosen.items()}
    by_name: dict[str, list[str]] = {}
    for column in columns:
        if column not in taken:
            by_name.setdefault(normal(column), []).append(column)
    for role, groups in NAMES.items():
        if role not in found and (named := _of_role(role, groups, by_name)):
            found[role] = named
    return found


def _of_role(role: str, groups: Iterable[Sequence[str]], by_name: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    numbered = [column for name, columns in by_name.items() if _NUMBERED.fullmatch(name) for column in columns]
    for group in groups:
        if there := [column for name in group for column in by_name.get(name, ())]:
            return tuple(there)
        if role == "captions" and numbered:  # before the names that may mean something else
            return tuple(numbered)
    return ()


def together(columns: Sequence[str]) -> bool:
    """Whether columns of one role are parts of it, as `caption_0` and `caption_1` are; others mean the same."""
    return all(_NUMBERED.fullmatch(normal(column)) for column in columns)


def listed(columns: Iterable[str]) -> str:
    """Names of columns for a message: the first twelve, each cut to 80 characters."""
    names = [f"{name:.80}" for name in columns]
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
