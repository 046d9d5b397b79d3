"""Data that lie elsewhere, at a URL that fsspec opens: tables are fetched, images are read when they are opened.

    vitrail extract --data s3://bucket/photographs …           a folder of images, with captions beside them
    vitrail extract --data s3://bucket/coco/captions.jsonl …   a table; its images lie beside it
    vitrail extract --data "s3://bucket/{000..099}.tar" …      WebDataset shards

A reader of a format knows folders alone. So it gets a folder here in which every file has its name: tables are whole,
and images are empty. What it finds is then told where its images really lie, so that they may be opened in whatever
process, on whatever machine.
"""

from __future__ import annotations

import posixpath
import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from vitrail.artifacts.remote import file_system, told
from vitrail.errors import ArtifactError, DataError
from vitrail.samples.images import IMAGE_SUFFIXES, VIDEO_SUFFIXES, EncodedImage, changed
from vitrail.samples.sample import Sample

#: Endings of files that stay where they are until they are opened.
LEFT_THERE = IMAGE_SUFFIXES | VIDEO_SUFFIXES | {".tar"}
#: The folders here of this process, which end with it.
_folders: list[tempfile.TemporaryDirectory[str]] = []
#: Images that were read last, for the next look at them, and the bytes that they may have together.
_read: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
_KEPT = 64 * 2**20


def image_at(url: str, file: Path | None = None) -> EncodedImage:
    """The image at a URL; `file` is its place for the question whether it lies outside of the data."""
    return EncodedImage(PurePosixPath(url).name, partial(read, url), Path("/"), file)


def read(url: str, start: int = 0, size: int = -1) -> bytes:
    """The bytes at a URL, or `size` of them from `start`.

    Raises:
        DataError: they cannot be read.
    """
    key = url, start, size
    if key not in _read:
        fs, path = _opened(url)
        with as_data(url):
            content = fs.cat_file(path, start=start, end=start + size) if size >= 0 else fs.cat_file(path)
        while _read and sum(map(len, _read.values())) + len(content) > _KEPT:
            _read.popitem(last=False)
        _read[key] = content
    return _read[key]


def listed(url: str) -> list[str]:
    """The names of the files at a URL, inside it; "" is a file itself.

    Raises:
        DataError: nothing is there, or it cannot be read.
    """
    fs, path = _opened(url)
    with as_data(url):
        found = [str(name)[len(path) :].lstrip("/") for name in fs.find(path)]
    if not found:
        raise DataError(f"{url} is not there, or is empty.")
    return sorted(found)


def stream(url: str) -> Any:
    """The file at a URL, open for reading from its beginning on."""
    fs, path = _opened(url)
    with as_data(url):
        return fs.open(path, "rb", cache_type="readahead")


@dataclass(frozen=True)
class Fetched:
    """Data at a URL, in a folder here in which every file has its name; images are empty.

    Args:
        path: the folder, or the file in it.
        folder: the folder.
        home: the URL that it stands for.
    """

    path: Path
    folder: Path
    home: str

    def there(self, sample: Sample) -> Sample:
        """A sample that was found in the folder, with its image where it really lies."""
        return replace(sample, image=changed(sample.image, self._there))

    def _there(self, image: Path | EncodedImage) -> Path | EncodedImage:
        if not isinstance(image, Path) or self.folder not in image.parents:
            return image
        name = posixpath.normpath(f"{self.home.partition('://')[2]}/{image.relative_to(self.folder).as_posix()}")
        return image_at(f"{self.home.partition('://')[0]}://{name}")


def fetched(url: str, *, tables: bool = True) -> Fetched:
    """The data at a URL, in a folder here that lasts as long as this process.

    Args:
        url: of a folder, or of a file. Beside a JSON of COCO's or of Visual Genome's the images are looked up, since
            such a file does not say which of several folders they lie in.
        tables: whether what is no image is fetched.

    Raises:
        DataError: nothing is there, or it cannot be read.
    """
    names, home = listed(url), url
    if names == [""]:
        home, _, own = url.rpartition("/")
        beside = listed(home) if own.endswith(".json") else []
        names = [own, *(name for name in beside if name != own and _is_left(name))]
    temporary = tempfile.TemporaryDirectory(prefix="vitrail-data-")
    _folders.append(temporary)
    folder = Path(temporary.name).resolve() / (PurePosixPath(home).name or "data")
    for name in names:
        if ".." in PurePosixPath(name).parts:
            raise DataError(f"{url} holds {name!r}, which is no name of a file.")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if _is_left(name):
            (folder / name).touch()
    wanted = [name for name in names if tables and not _is_left(name)]
    fs, path = _opened(home)
    if wanted:
        with as_data(url):
            fs.get([f"{path}/{name}" for name in wanted], [str(folder / name) for name in wanted])
    return Fetched(folder if home == url else folder / names[0], folder, home)


def _is_left(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in LEFT_THERE


def _opened(url: str) -> tuple[Any, str]:
    with as_data(url):
        return file_system(url)


@contextmanager
def as_data(url: str) -> Iterator[None]:
    """What goes wrong at `url`, as an error of data."""
    try:
        with told(url):
            yield
    except ArtifactError as error:
        raise DataError(str(error)) from error.__cause__
