"""What a reader of a format offers: how it recognises a source, and how it reads one."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

from vitrail.errors import DataError
from vitrail.progress import Progress, silent
from vitrail.samples.files import parse_json, read_bytes, read_text
from vitrail.samples.options import ReadingOptions
from vitrail.samples.sample import Sample


@dataclass(frozen=True)
class Source:
    """What `load_samples` was asked to read. The content of a file is read once, when a format first asks for it.

    Args:
        given: the source as the caller wrote it.
        images: the folder below which image paths lie, if the caller named one.
        reading: which columns mean what, in which encoding.
        split: the split that is wanted, or None for all.
        limit: how many samples are wanted at most, or None for all.
        allow_outside: whether paths in the data may lead out of their folder.
        progress: told how far a data set is that must be made first.
    """

    given: str | Path
    images: Path | None = None
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    split: str | None = None
    limit: int | None = None
    allow_outside: bool = False
    progress: Progress = silent

    @cached_property
    def path(self) -> Path:
        """The source as an absolute path, so that a sample stays valid in another working directory."""
        return Path(self.given).expanduser().absolute()

    @property
    def root(self) -> Path:
        """The folder below which image paths lie: `images`, or the folder of the source."""
        return self.images or (self.path if self.path.is_dir() else self.path.parent)

    @cached_property
    def is_file(self) -> bool:
        return os.path.isfile(self.path)  # False, too, for a name that no disk could hold

    def after(self, prefix: str) -> str | None:
        """What follows `prefix` in the source; None if it does not begin so."""
        text = str(self.given)
        return text.removeprefix(prefix) if text.startswith(prefix) else None

    @cached_property
    def head(self) -> bytes:
        """The first four bytes of a file; empty for anything else."""
        return read_bytes(self.path, 4) if self.is_file else b""

    @cached_property
    def text(self) -> str:
        """The text of a file.

        Raises:
            DataError: it is in another encoding.
        """
        return read_text(self.path, self.reading.encoding)

    @cached_property
    def decoded(self) -> str:
        """The text of a file; empty for a file in another encoding, and for anything else."""
        try:
            return self.text if self.is_file else ""
        except DataError:
            return ""

    @cached_property
    def first_line(self) -> str:
        """The first line of a file, without its end; empty for a file in another encoding, and for anything else."""
        return self.decoded.partition("\n")[0].partition("\r")[0]

    @cached_property
    def parsed(self) -> tuple[Any, str]:
        """The first JSON object or list of a file, and the text that follows; None and "" where there is no such."""
        try:
            document, end = parse_json(self.path, self.decoded)
        except DataError:
            return None, ""
        return document, self.decoded[end:].strip()

    @property
    def document(self) -> Any:
        """The JSON object or list that a file consists of; None for anything else."""
        document, rest = self.parsed
        return None if rest else document

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON object that a file consists of; empty for anything else."""
        return self.document if isinstance(self.document, dict) else {}


@dataclass(frozen=True)
class Found:
    """What a reader found: the split of each record, and the samples, which are built only when they are wanted.

    Args:
        splits: for each record the name of its split, or None.
        build: gives for the number of a record where it lies (for messages) and its sample; a DataError of its own for
            a record that makes none.
        root: the folder that images should lie in.
        columns: what samples have, such as "captions" → the column, or field, that it was read from.
        not_read: the columns that were not read.
        flaws: records that cannot be read, each with its place and the reason.
        without_image: how many records have no image, and make no sample.
    """

    splits: Sequence[str | None]
    build: Callable[[int], tuple[str, Sample]]
    root: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    not_read: Sequence[str] = ()
    flaws: Sequence[str] = ()
    without_image: int = 0


def joined(parts: Sequence[Found]) -> Found:
    """The records of several files, one file after the other."""
    ends = list(accumulate(len(part.splits) for part in parts))

    def build(i: int) -> tuple[str, Sample]:
        number = bisect_right(ends, i)
        return parts[number].build(i - (ends[number - 1] if number else 0))

    return Found(
        [split for part in parts for split in part.splits],
        build,
        Path(os.path.commonpath([part.root for part in parts])),
        {role: column for part in reversed(parts) for role, column in part.columns.items()},
        tuple(dict.fromkeys(column for part in parts for column in part.not_read)),
        [flaw for part in parts for flaw in part.flaws],
        sum(part.without_image for part in parts),
    )


@dataclass(frozen=True)
class Format:
    """A format of samples.

    Args:
        name: the format in words, as in "SOURCE is a JSONL file".
        accepts: what to give as the source, as in "samples come from JSONL with a field `image`".
        recognises: whether a source has this format. It must not raise for a source of another format.
        read: finds the samples of a source that has this format.
        uses: what has a meaning for this format, of `images`, `annotations` and `columns` (those that the user names).
        split: the split that is read if the caller names none; None for all.
    """

    name: str
    accepts: str
    recognises: Callable[[Source], bool]
    read: Callable[[Source], Found]
    uses: tuple[str, ...] = ("images", "columns")
    split: str | None = None
