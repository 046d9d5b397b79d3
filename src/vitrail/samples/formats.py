"""What a reader of a format offers: how it recognises a source, and how it reads one."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vitrail.errors import DataError
from vitrail.progress import Progress, silent
from vitrail.samples.files import parse_json, read_bytes, read_text
from vitrail.samples.sample import Sample


@dataclass(frozen=True)
class Source:
    """What `load_samples` was asked to read. The content of a file is read once, when a format first asks for it.

    Args:
        given: the source as the caller wrote it.
        images: the folder below which image paths lie, if the caller named one.
        annotations: the file with the answers to VQAv2 questions, if the caller named one.
        split: the split that is wanted, or None for all.
        limit: how many samples are wanted at most, or None for all.
        allow_outside: whether paths in the data may lead out of their folder.
        progress: told how far a data set is that must be made first.
    """

    given: str | Path
    images: Path | None = None
    annotations: Path | None = None
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
            DataError: it is not UTF-8.
        """
        return read_text(self.path)

    @cached_property
    def decoded(self) -> str:
        """The text of a file; empty for a file that is not UTF-8, and for anything else."""
        try:
            return self.text if self.is_file else ""
        except DataError:
            return ""

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
        build: gives for the number of a record where it lies (for messages) and its sample.
        root: the folder that images should lie in.
    """

    splits: Sequence[str | None]
    build: Callable[[int], tuple[str, Sample]]
    root: Path


@dataclass(frozen=True)
class Format:
    """A format of samples.

    Args:
        name: the format in words, as in "SOURCE is a JSONL file".
        accepts: what to give as the source, as in "samples come from JSONL with a field `image`".
        recognises: whether a source has this format. It must not raise for a source of another format.
        read: finds the samples of a source that has this format.
        uses: the parameters of `load_samples` that have a meaning for this format, of `images` and `annotations`.
        split: the split that is read if the caller names none; None for all.
    """

    name: str
    accepts: str
    recognises: Callable[[Source], bool]
    read: Callable[[Source], Found]
    uses: tuple[str, ...] = ("images",)
    split: str | None = None
