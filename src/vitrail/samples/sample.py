"""One sample: an image, and what people said of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from PIL import Image

from vitrail.errors import DataError, UsageError
from vitrail.notebook import Picture, Shown, View
from vitrail.samples.bounds import ImageBounds
from vitrail.samples.images import AnyImage, Composite, content, decode, size, thumbnail, to_rgb
from vitrail.samples.several import Several, moving
from vitrail.samples.strips import strip

T = TypeVar("T")
#: An image as a caller gives it: a path of an image or a video, a decoded image, or several.
GivenImage: TypeAlias = "str | Path | Image.Image | Sequence[str | Path] | Sequence[Image.Image]"


@dataclass(frozen=True)
class Sample(Shown):
    """An image, what people said of it, and an id that is always the same for the same data.

    Args:
        id: the sample's own name, unlike that of any other sample.
        image: the path of a file, an image inside a table, or a decoded image; several of them, or a video
            (`samples.several`), which are shown as a strip.
        references: captions by people.
        question: a question about the image, for visual question answering.
        answers: people's answers to it, as many as there are (ten in VQAv2), repetitions included.
        question_type: the data set's own class of the question, such as "how many".
        answer_type: the data set's own class of the answers, such as "number".
        bounds: how large the image may be; a larger one cannot be opened.
    """

    id: str
    image: AnyImage
    references: tuple[str, ...] = ()
    question: str | None = None
    answers: tuple[str, ...] = ()
    question_type: str | None = None
    answer_type: str | None = None
    bounds: ImageBounds = field(default=ImageBounds(), repr=False)

    @classmethod
    def of_image(cls, image: GivenImage) -> Sample:
        """The sample of an image or a video alone, or of several images.

        Raises:
            DataError: it cannot be read.
            UsageError: there is none.
        """
        given = [image] if isinstance(image, str | Path | Image.Image) else list(image)
        if not given:
            raise UsageError("An image was expected, or several; the list is empty.")
        files = [moving(Path(one)) for one in given if isinstance(one, str | Path)]
        name, single = " + ".join(map(str, given)), tuple(one for one in files if not isinstance(one, Composite))
        if len(files) == len(given) == 1:
            sample = cls(id=name, image=files[0])
        elif len(single) == len(given):
            sample = cls(id=name, image=Several(single))
        elif files:
            raise UsageError("Several images are all files or all decoded ones, and no videos.")
        else:
            sample = cls(id="image", image=strip([to_rgb(one) for one in given if isinstance(one, Image.Image)]))
        sample.open()  # says what is wrong with it
        return sample

    @property
    def name(self) -> str:
        """The image's name for display: its file name, its place in a table, or the sample's id."""
        return self.id if isinstance(self.image, Image.Image) else self.image.name

    @property
    def place(self) -> str:
        """Where the image lies, for messages: its path, or its name."""
        return str(self.image) if isinstance(self.image, Path) else self.name

    @property
    def said(self) -> tuple[str, ...]:
        """What people said of the image: its captions, or the answers to its question."""
        return self.references if self.question is None else self.answers

    def image_digest(self) -> str:
        """sha256 of the image's file, or of the pixels of one that is decoded; not of its name or its sample's id.

        Raises:
            DataError: the file cannot be read.
        """
        return self._of_image(lambda image, _: hashlib.sha256(content(image)).hexdigest())

    def digests(self) -> tuple[str, str, str]:
        """The sample by its content: its id, and the digests of the image and of the texts. "unreadable" stands for the
        digest of an image that cannot be read, or is beyond its bounds."""
        try:
            image = self.image_digest()
            self.size()
        except DataError:
            image = "unreadable"
        texts = json.dumps([self.references, self.question, self.answers])
        return self.id, image, hashlib.sha256(texts.encode()).hexdigest()

    def open(self) -> Image.Image:
        """The image: RGB, upright (EXIF), fully decoded, transparency over white; several as one strip.

        Raises:
            DataError: the image is missing, unreadable, truncated, larger than `PIL.Image.MAX_IMAGE_PIXELS`, or beyond
                its `bounds`. The message names the sample and the file.
        """
        return self._of_image(decode)

    def size(self) -> tuple[int, int]:
        """(width, height) of the image as stored, from its header: it is not decoded. Raises as `open`."""
        return self._of_image(size)

    def pixels(self) -> int:
        """How many pixels the image has; see `size`."""
        width, height = self.size()
        return width * height

    def _shown(self) -> View:
        try:
            pictures: tuple[Picture, ...] = (Picture(thumbnail(self.open()), self.name),)
        except DataError:
            pictures = ()
        asked = () if self.question is None else (f"asked: {self.question}",)
        return View("Sample", f"{self.id}: {self.name}", pictures=pictures, notes=(*asked, *self.said))

    def _of_image(self, read: Callable[[Any, ImageBounds], T]) -> T:
        image = f"image {self.place}"
        try:
            return read(self.image, self.bounds)
        except FileNotFoundError as error:
            raise DataError(f"sample {self.id!r}: {image} does not exist ({error})") from error
        except DataError as error:
            raise DataError(f"sample {self.id!r}: {image} cannot be read: {error}") from error
        except MemoryError as error:  # of this machine, not of the sample: a smaller batch may do
            raise MemoryError(f"sample {self.id!r}: there is not enough memory for {image}") from error
        except Exception as error:  # decoders of damaged files raise whatever they stumble over
            reason = f"{type(error).__name__}: {error}"
            raise DataError(f"sample {self.id!r}: {image} cannot be read ({reason})") from error


def digest_of(samples: Iterable[Sample]) -> str:
    """sha256 of what samples are by content, in their order; their images are read."""
    return hashlib.sha256(json.dumps([sample.digests() for sample in samples]).encode()).hexdigest()
