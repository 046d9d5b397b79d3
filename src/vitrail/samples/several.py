"""What a sample has in place of one image: several of them, or a video, of which some frames are taken."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image, ImageSequence

from vitrail.artifacts import open_regular
from vitrail.errors import DataError
from vitrail.samples.bounds import ImageBounds
from vitrail.samples.images import VIDEO_SUFFIXES, Composite, EncodedImage, content, decode, size, to_rgb
from vitrail.samples.options import FRAMES
from vitrail.samples.strips import Film, placed, strip

Change: TypeAlias = "Callable[[Path | EncodedImage], Path | EncodedImage]"


@dataclass(frozen=True)
class Several(Composite):
    """Several images of one sample, such as those of a conversation, in their order.

    Args:
        images: two or more of them.
    """

    images: tuple[Path | EncodedImage, ...]

    @property
    def name(self) -> str:
        return " + ".join(image.name for image in self.images)

    @property
    def files(self) -> tuple[Path, ...]:
        return tuple(image for image in self.images if isinstance(image, Path))

    def content(self) -> bytes:
        return b"".join(hashlib.sha256(content(image)).digest() for image in self.images)

    def size(self, bounds: ImageBounds) -> tuple[int, int]:
        return _together([size(image, bounds) for image in self.images])

    def decode(self, bounds: ImageBounds) -> Image.Image:
        self.size(bounds)  # before the first is decoded
        return strip([decode(image, bounds) for image in self.images])

    def changed(self, change: Change) -> Several:
        return replace(self, images=tuple(map(change, self.images)))


@dataclass(frozen=True)
class Video(Composite):
    """Frames of a video, evenly spread over it.

    Args:
        file: the video, of any kind that PyAV reads; or an animated image.
        frames: how many are taken; all where it has no more.
    """

    file: Path | EncodedImage
    frames: int

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.file,) if isinstance(self.file, Path) else ()

    def content(self) -> bytes:
        return content(self.file) + f" {self.frames} frames".encode()

    def size(self, bounds: ImageBounds) -> tuple[int, int]:
        with self._opened() as (one, n, _, _):
            bounds.check(one)
            return _together([one] * min(self.frames, n))

    def decode(self, bounds: ImageBounds) -> Image.Image:
        with self._opened() as (one, n, rate, take):
            bounds.check(one)
            _together([one] * min(self.frames, n))
            numbers = middles(n, self.frames)
            return strip([to_rgb(frame) for frame in take(numbers)], Film(tuple(numbers), n, rate))

    def changed(self, change: Change) -> Video:
        return replace(self, file=change(self.file))

    @contextmanager
    def _opened(self) -> Iterator[tuple[tuple[int, int], int, float | None, Any]]:
        """The size of the video, how many frames it has, how many of them pass in a second, and a function that gives
        those with some numbers."""
        with open_regular(self.file) if isinstance(self.file, Path) else io.BytesIO(self.file.read()) as file:
            try:
                animated = Image.open(file)
            except Image.UnidentifiedImageError:
                animated = None
            if animated is not None:
                n, lasts = getattr(animated, "n_frames", 1), animated.info.get("duration")  # in milliseconds
                rate = 1000 / lasts if lasts else None
                yield animated.size, n, rate, lambda numbers: _of_animation(animated, numbers)
                return
            file.seek(0)
            with _container(file) as container:
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"  # before anything is decoded
                n = _n_frames(container, stream)
                rate = float(stream.average_rate) if stream.average_rate else None
                yield _size(container, stream), n, rate, lambda numbers: _of_stream(container, stream, n, numbers)


def moving(file: Path | EncodedImage, frames: int = FRAMES, always: bool = False) -> Path | EncodedImage | Video:
    """`file`, or so many frames of it where it is a video by its name, or `always`."""
    is_video = always or Path(file.name).suffix.lower() in VIDEO_SUFFIXES
    return Video(file, frames) if is_video else file


def middles(n: int, k: int) -> list[int]:
    """The numbers of `k` of `n` frames: those in the middle of `k` equal parts; all where there are no more.

    >>> middles(100, 4)
    [12, 37, 62, 87]
    """
    return list(range(n)) if n <= k else [(2 * i + 1) * n // (2 * k) for i in range(k)]


def _together(sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size of images side by side.

    Raises:
        DataError: they have more pixels together than an image may have.
    """
    size, _ = placed(sizes)
    pixels, most = size[0] * size[1], Image.MAX_IMAGE_PIXELS
    if most is not None and pixels > most:
        raise DataError(
            f"its {len(sizes)} images have {pixels} pixels side by side, more than the {most} that are allowed; take "
            "fewer frames, or smaller images"
        )
    return size


def _of_animation(animated: Image.Image, numbers: Sequence[int]) -> list[Image.Image]:
    wanted = set(numbers)
    return [frame.copy() for i, frame in enumerate(ImageSequence.Iterator(animated)) if i in wanted]


@contextmanager
def _container(file: Any) -> Iterator[Any]:
    """A video that PyAV opened, which has pictures.

    Raises:
        DataError: PyAV is missing, or it cannot read the file.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise DataError("it is a video, which PyAV reads: pip install 'vitrail[video]'") from error
    try:
        container = av.open(file)
    except av.FFmpegError as error:
        raise DataError(f"it is no image, and no video that can be read ({error.strerror})") from error
    with container:
        if not container.streams.video:
            raise DataError("it has sound, and no pictures")
        try:
            yield container
        except av.FFmpegError as error:
            raise DataError(f"the video is damaged ({error.strerror})") from error


def _size(container: Any, stream: Any) -> tuple[int, int]:
    """Width and height of a stream's frames, upright: the first frame says how they are turned."""
    first = next(container.decode(stream), None)
    container.seek(0)
    if first is None:
        raise DataError("the video has no frames")
    width, height = int(stream.width), int(stream.height)
    return (height, width) if first.rotation % 180 else (width, height)


def _n_frames(container: Any, stream: Any) -> int:
    """How many frames a stream has, by its header; counted where that does not say it."""
    if stream.frames:
        return int(stream.frames)
    n = sum(1 for _ in container.decode(stream))
    container.seek(0)
    if n == 0:
        raise DataError("the video has no frames")
    return n


def _of_stream(container: Any, stream: Any, n: int, numbers: Sequence[int]) -> list[Image.Image]:
    """The frames of a stream with these numbers, upright. They are decoded from the first to the last that is wanted,
    since headers do not say reliably where in the file a frame begins."""
    wanted, found = set(numbers), []
    for i, frame in enumerate(container.decode(stream)):
        if i in wanted:
            found.append(frame.to_image().rotate(frame.rotation, expand=True))
        if i >= max(wanted):
            break
    if len(found) < len(wanted):
        raise DataError(f"the video ends after {len(found)} of the {len(wanted)} frames that are wanted, of {n}")
    return found
