"""What was read of data: how many samples, from which columns, and what was left out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vitrail.samples.columns import listed
from vitrail.samples.images import EncodedImage, files_of
from vitrail.samples.sample import Sample

#: How many images are looked for, spread over the samples; all of them where records are read strictly.
LOOKED_AT = 1000
#: How many flaws a summary keeps word for word.
KEPT_FLAWS = 1000


@dataclass(frozen=True)
class Summary:
    """What was read of a source.

    Args:
        source: as the caller named it.
        format: in words.
        samples: how many there are.
        captioned: how many have captions.
        asked: how many have a question.
        columns: what samples have, such as "captions" → the column, or field, that it was read from.
        not_read: the columns that were not read.
        looked_at: how many image files were looked for; images inside of the data are not among them.
        found: how many of those exist.
        skipped: how many records were skipped because they cannot be read.
        flaws: the first of them, with the place of each.
        without_image: how many records have no image, and make no sample.
    """

    source: str
    format: str
    samples: int
    captioned: int
    asked: int
    columns: Mapping[str, str] = field(default_factory=dict)
    not_read: tuple[str, ...] = ()
    looked_at: int = 0
    found: int = 0
    skipped: int = 0
    flaws: tuple[str, ...] = ()
    without_image: int = 0

    @property
    def untold(self) -> bool:
        """Whether no sample has a caption or a question: nothing is known of the images."""
        return not self.captioned and not self.asked

    def __str__(self) -> str:
        """The summary as one line."""
        columns = dict(self.columns)
        of = {role: f" (from {columns[role]})" if role in columns else "" for role in ("captions", "question", "image")}
        said = [
            f"{self.source}: {self.samples:,} samples from {self.format}",
            f"{self.captioned:,} with captions{of['captions']}",
            f"{self.asked:,} with a question{of['question']}",
        ]
        if self.looked_at:
            said.append(f"{self.found:,} of {self.looked_at:,} images looked for are there{of['image']}")
        else:
            said.append(f"images inside the data{of['image']}")
        if self.not_read:
            said.append(f"columns not read: {listed(self.not_read)}")
        if self.without_image:
            said.append(f"{self.without_image:,} records without an image left out")
        if self.skipped:
            said.append(f"{self.skipped:,} records skipped, the first: {self.flaws[0]:.300}")
        return "; ".join(said)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "columns": dict(self.columns)}


class Samples(list[Sample]):
    """Samples, and what was read of their source: `summary`."""

    def __init__(self, samples: Iterable[Sample], summary: Summary) -> None:
        super().__init__(samples)
        self.summary = summary


def summary_of(samples: Sequence[Sample]) -> Summary | None:
    """What was read of the source of `samples`; None where they do not say it."""
    return samples.summary if isinstance(samples, Samples) else None


def images_there(samples: Sequence[Sample], most: int = LOOKED_AT) -> tuple[int, list[Sample]]:
    """How many image files were looked for, of at most about `most` samples spread evenly, and whose are missing."""
    step = max(1, -(-len(samples) // most))
    looked = [s for s in samples[::step] if _paths(s)]
    return len(looked), [s for s in looked if not all(os.path.isfile(path) for path in _paths(s))]


def _paths(sample: Sample) -> tuple[Path, ...]:
    """The files that an image, or several, are given as."""
    return () if isinstance(sample.image, EncodedImage) else files_of(sample.image)
