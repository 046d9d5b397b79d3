"""How data are read: which columns mean what, in which encoding, and what becomes of records that cannot be read."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from vitrail.errors import UsageError
from vitrail.options import Count, Options

#: How many frames of a video are taken, unless somebody says another number.
FRAMES = 8


@dataclass(frozen=True)
class ReadingOptions(Options):
    """How data are read, where their names and their form do not say it.

    Args:
        image_column: the column, or field, of the image; `data.image` is a field inside another one.
        caption_column: the column of the captions; of several languages the one to read, such as `de`.
        id_column: the column of the sample's id.
        question_column: the column of the question.
        answer_column: the column of the answers.
        frames: how many frames of a video are taken, evenly spread over it.
        annotations: the file with the answers to VQAv2 questions, if it does not lie beside them.
        encoding: of text files that are not UTF-8 or UTF-16, such as `latin-1`. It is never guessed.
        strict: stop at the first record that cannot be read, or whose image is missing. By default such records are
            skipped, counted and listed, as long as they are not more than half.

    Raises:
        UsageError: there is no such encoding.
    """

    image_column: str | None = None
    caption_column: str | None = None
    id_column: str | None = None
    question_column: str | None = None
    answer_column: str | None = None
    frames: Count = FRAMES
    annotations: Path | None = None
    encoding: str | None = None
    strict: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError as error:
                raise UsageError(
                    f"There is no encoding {self.encoding!r}; latin-1, cp1252, gb18030 are some."
                ) from error

    @property
    def chosen(self) -> dict[str, str]:
        """Role → the column that the user chose for it; see `columns.NAMES` for the roles."""
        named = {
            "image": self.image_column,
            "captions": self.caption_column,
            "id": self.id_column,
            "question": self.question_column,
            "answers": self.answer_column,
        }
        return {role: column for role, column in named.items() if column is not None}
