"""One sample, and what a reader of a format gives: samples that are built when they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vitrail.errors import DataError
from vitrail.samples.images import EncodedImage, decode


@dataclass(frozen=True)
class Sample:
    """An image, what people said of it, and an id that the same data always give.

    `references` are captions; `answers` are as many as people gave (ten in VQAv2), repeated ones included.
    """

    id: str
    image: Path | EncodedImage | Image.Image
    references: tuple[str, ...] = ()
    question: str | None = None
    answers: tuple[str, ...] = ()
    question_type: str | None = None
    answer_type: str | None = None

    @property
    def name(self) -> str:
        """What to show as the image's name: its file name, its place in a table, or the sample's id."""
        return self.id if isinstance(self.image, Image.Image) else self.image.name

    @property
    def said(self) -> tuple[str, ...]:
        """What people said of the image: its captions, or the answers to its question."""
        return self.references if self.question is None else self.answers

    def open(self) -> Image.Image:
        """The image: RGB, upright (EXIF), fully decoded, transparency over white.

        Raises DataError, naming the sample and the file, for an image that is missing, unreadable, truncated, or
        larger than `PIL.Image.MAX_IMAGE_PIXELS`.
        """
        image = f"image {self.image if isinstance(self.image, Path) else self.name}"
        try:
            return decode(self.image)
        except FileNotFoundError as error:
            raise DataError(f"sample {self.id!r}: {image} does not exist ({error})") from error
        except Exception as error:  # decoders of damaged files raise whatever they stumble over
            reason = f"{type(error).__name__}: {error}"
            raise DataError(f"sample {self.id!r}: {image} cannot be read ({reason})") from error


@dataclass(frozen=True)
class Found:
    """What a reader found: the split of each record, and `build(i) -> (where, sample)` for those that are wanted.

    `kind` is the format, in words; `uses` are the parameters of `load_samples` that mean something to it.
    """

    kind: str
    splits: Sequence[str | None]
    build: Callable[[int], tuple[str, Sample]]
    uses: tuple[str, ...] = ("images",)
