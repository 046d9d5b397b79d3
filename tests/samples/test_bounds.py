"""What a file costs is bounded before it is decoded, and what is no file is refused, not waited for."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from vitrail.errors import DataError, UsageError
from vitrail.samples import EncodedImage, ImageBounds, Sample, load_samples
from vitrail.samples.bounds import PIXELS, batches


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def in_a_file(folder: Path, data: bytes) -> Path:
    (folder / "x.png").write_bytes(data)
    return folder / "x.png"


#: Where an image may be.
KINDS: dict[str, Callable[[Path, bytes], Path | EncodedImage | Image.Image]] = {
    "a file": in_a_file,
    "a cell": lambda folder, data: EncodedImage("row 1", lambda: data, folder),
    "a path in a cell": lambda folder, data: EncodedImage("row 1", lambda: in_a_file(folder, data).name, folder),
    "a decoded image": lambda folder, data: Image.open(io.BytesIO(data)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("size", "bounds", "message"),
    [
        ((1, 100_000), ImageBounds(), "1 × 100000 pixels, and no side may be longer than max_side, 20000"),
        ((1, 51), ImageBounds(), "1 × 51 pixels, and no side may be longer than max_ratio, 50, times the other"),
        ((51, 1), ImageBounds(), "max_ratio"),
        ((11, 9), ImageBounds(max_side=10), "11 × 9 pixels, and no side may be longer than max_side, 10"),
        ((4, 3), ImageBounds(max_ratio=1), "max_ratio, 1,"),
    ],
)
def test_an_image_beyond_its_bounds_is_refused_by_name_and_not_decoded(
    tmp_path, monkeypatch, kind, size, bounds, message
):
    sample = Sample("17", KINDS[kind](tmp_path, png(*size)), bounds=bounds)
    monkeypatch.setattr(Image.Image, "convert", None)  # what decoding would end in
    for read in (sample.open, sample.size):
        with pytest.raises(DataError, match=f"sample '17': image .* cannot be read: it has .*{message}"):
            read()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("size", "bounds"), [((1, 50), ImageBounds()), ((10, 9), ImageBounds(10, 2))])
def test_an_image_at_its_bounds_is_opened_and_has_the_size_of_its_header(tmp_path, kind, size, bounds):
    sample = Sample("17", KINDS[kind](tmp_path, png(*size)), bounds=bounds)
    assert sample.size() == size == sample.open().size
    assert sample.pixels() == size[0] * size[1]


def test_other_bounds_make_another_sample_of_an_image_beyond_them(tmp_path):
    path = in_a_file(tmp_path, png(10, 9))
    inside, outside = (Sample("x", path, bounds=ImageBounds(max_side=side)).digests() for side in (10, 9))
    assert inside != outside
    assert inside == Sample("x", path).digests()


def test_bounds_are_given_to_every_sample_that_is_read(tmp_path):
    in_a_file(tmp_path, png(10, 9))
    [sample] = load_samples(tmp_path, bounds=ImageBounds(max_side=9))
    with pytest.raises(DataError, match="max_side, 9"):
        sample.open()


@pytest.mark.parametrize("bounds", [{"max_side": 0}, {"max_ratio": 0.5}])
def test_bounds_that_no_image_meets_are_refused(bounds):
    with pytest.raises(UsageError, match=r"must be at least 1"):
        ImageBounds(**bounds)


@pytest.mark.parametrize(
    ("pixels", "most", "expected"),
    [
        ([], 2, []),
        ([1, 1, 1], 2, [range(0, 2), range(2, 3)]),
        ([PIXELS, 1], 2, [range(0, 1), range(1, 2)]),
        ([2 * PIXELS, 1, 1], 2, [range(0, 1), range(1, 3)]),
        ([12_000_000] * 7, 32, [range(0, 5), range(5, 7)]),
    ],
)
def test_a_batch_has_so_many_images_and_so_many_pixels_at_most(pixels, most, expected):
    assert list(batches(pixels, most)) == expected


# ---- what is no file -------------------------------------------------------------------------------------------------


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def unix_socket(path: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    return path


def link_to_a_fifo(path: Path) -> Path:
    path.symlink_to(fifo(path.with_suffix(".fifo")))
    return path


NO_FILES: dict[str, Callable[[Path], Path]] = {
    "fifo": fifo,
    "socket": unix_socket,
    "device": lambda path: Path("/dev/zero"),
    "link": link_to_a_fifo,
}


@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    path = NO_FILES[kind](Path("x.png"))
    for image in (path, EncodedImage("row 1", lambda: str(path), Path(), anywhere=True)):
        sample = Sample("17", image)
        for read in (sample.open, sample.size, sample.image_digest):
            with pytest.raises(DataError, match=r"sample '17': image .* cannot be read"):
                read()
        assert sample.digests()[1] == "unreadable"
    for source in (path, f"regions:{path}"):
        with pytest.raises(DataError, match=r"FIFO, a socket or a device|No such device or address|cannot be read"):
            load_samples(source)
