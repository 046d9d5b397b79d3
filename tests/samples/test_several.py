"""Several images and videos as the image of a sample: a strip, bounded, recognised by content, missing by name."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.encoded_images import JPEG, animated

from vitrail.errors import DataError, UsageError
from vitrail.samples import (
    EncodedImage,
    ImageBounds,
    Layout,
    ReadingOptions,
    Sample,
    Several,
    Video,
    frames_of,
    load_samples,
    strip,
    thumbnail,
)
from vitrail.samples.several import middles


def brightness(image: Image.Image) -> list[int]:
    return [round(float(np.asarray(frame.convert("L")).mean()) / 20) for frame in frames_of(image)]


def mp4(path: Path, n: int = 12, size: tuple[int, int] = (64, 48)) -> Path:
    """A video of frames that are told apart by their brightness."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for i in range(n):
            frame = av.VideoFrame.from_image(Image.new("RGB", size, (20 * i,) * 3))
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


@pytest.fixture
def gif(tmp_path):
    path = tmp_path / "a.gif"
    path.write_bytes(animated(12))
    return path


def test_frames_of_a_video_are_evenly_spread(tmp_path, gif):
    for path in (gif, mp4(tmp_path / "a.mp4"), mp4(tmp_path / "a.mkv")):  # the last does not say how many it has
        assert brightness(Sample("a", Video(path, 4)).open()) == [1, 4, 7, 10]
        assert brightness(Sample("a", Video(path, 12)).open()) == list(range(12))
        assert brightness(Sample("a", Video(path, 50)).open()) == list(range(12))


#: (a, b, c, d) of the matrix in a track's header, by which x′ = ax + cy and y′ = bx + dy, with y downwards (ISO
#: 14496-12, 6.2.2), as a phone writes it that is held in some way; and where the left upper corner goes.
TURNS = {
    "clockwise": ((0, 1, -1, 0), "right upper"),
    "upside down": ((-1, 0, 0, -1), "right lower"),
    "counterclockwise": ((0, -1, 1, 0), "left lower"),
    "not at all": ((1, 0, 0, 1), "left upper"),
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_video_that_says_how_it_is_turned_is_set_upright(tmp_path, turn):
    av = pytest.importorskip("av")
    path, size = tmp_path / "phone.mp4", (64, 32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        picture = Image.new("RGB", size, "black")
        picture.paste("white", (0, 0, 24, 12))  # in the left upper corner
        for packet in [*stream.encode(av.VideoFrame.from_image(picture)), *stream.encode()]:
            container.mux(packet)
    (a, b, c, d), corner = TURNS[turn]
    header = bytearray(path.read_bytes())
    matrix = header.index(b"tkhd") + 4 + 40  # version, flags, times, track, duration, layer, group, volume
    fixed = [n.to_bytes(4, "big", signed=True) for n in (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)]
    header[matrix : matrix + 36] = b"".join(fixed)
    path.write_bytes(header)
    sample = Sample("a", Video(path, 1))
    found = sample.open()
    assert sample.size() == found.size
    upright = np.asarray(frames_of(found)[0].convert("L"))
    assert upright.shape == ((32, 64) if a else (64, 32))
    height, width = (n // 3 for n in upright.shape)
    corners = {
        "left upper": upright[:height, :width],
        "right upper": upright[:height, -width:],
        "left lower": upright[-height:, :width],
        "right lower": upright[-height:, -width:],
    }
    assert max(corners, key=lambda name: corners[name].mean()) == corner


def test_the_middles_are_in_the_middle():
    assert middles(3, 8) == [0, 1, 2]
    for n in (9, 10, 97, 1000):
        found = middles(n, 7)
        assert len(set(found)) == 7
        assert abs(found[0] - (n - 1 - found[-1])) <= 1


def test_a_folder_has_images_and_videos(tmp_path):
    mp4(tmp_path / "film.mp4")
    (tmp_path / "film.txt").write_text("it gets bright")
    (tmp_path / "a.jpg").write_bytes(JPEG)
    samples = load_samples(tmp_path, reading=ReadingOptions(frames=3))
    assert [(s.id, s.references) for s in samples] == [("a.jpg", ()), ("film.mp4", ("it gets bright",))]
    assert brightness(samples[1].open()) == [2, 6, 10]
    assert samples[1].size() == samples[1].open().size


def test_the_size_is_known_before_anything_is_decoded(tmp_path, gif):
    images = tuple(tmp_path / name for name in ("a.png", "b.png"))
    for path, size in zip(images, [(30, 20), (10, 40)], strict=True):
        Image.new("RGB", size, "red").save(path)
    for image in (Several(images), Video(gif, 5), Video(mp4(tmp_path / "a.mp4"), 5)):
        sample = Sample("s", image)
        assert sample.size() == sample.open().size


def test_content_decides_what_several_images_are(tmp_path, gif):
    names = ("a.png", "b.png")
    for name in names:
        (tmp_path / name).write_bytes(JPEG)
    one, two = (tmp_path / name for name in names)
    Image.new("RGB", (8, 6), "blue").save(two)
    pairs = [Several((one, two)), Several((two, one)), Several((one, one)), Video(gif, 3), Video(gif, 4)]
    digests = [Sample("s", image).image_digest() for image in pairs]
    assert len(set(digests)) == len(pairs)
    there = EncodedImage("a table", lambda: JPEG, tmp_path)
    assert Sample("s", Several((there, there))).image_digest() == digests[2]


BAD = {
    "a missing one": (
        lambda folder: Several((folder / "a.jpg", folder / "none.jpg")),
        r"a\.jpg \+ none\.jpg does not exist",
    ),
    "a damaged one": (lambda folder: Several((folder / "a.jpg", folder / "bad.jpg")), "cannot be read"),
    "no video": (lambda folder: Video(folder / "bad.jpg", 3), "no video that can be read|pip install"),
    "a cut video": (lambda folder: Video(folder / "cut.mp4", 12), "cannot be read"),
    "a long side": (lambda folder: Several((folder / "a.jpg", folder / "wide.png")), "max_side"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_named(name, tmp_path):
    make, message = BAD[name]
    (tmp_path / "a.jpg").write_bytes(JPEG)
    (tmp_path / "bad.jpg").write_bytes(b"no image, no video")
    whole = mp4(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (70, 30)).save(tmp_path / "wide.png")
    sample = Sample("s", make(tmp_path), bounds=ImageBounds(max_side=64))
    with pytest.raises(DataError, match=message):
        sample.open()


def test_many_large_frames_are_refused_by_their_headers(gif, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8 * 6 * 4)
    with pytest.raises(DataError, match="take fewer frames"):
        Sample("s", Video(gif, 12)).size()
    assert len(frames_of(Sample("s", Video(gif, 3)).open())) == 3


def test_a_missing_image_of_several_is_looked_for(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    table = tmp_path / "d.jsonl"
    table.write_text('{"images": ["a.jpg", "b.jpg"], "caption": "two"}')
    with pytest.raises(DataError, match=r"1 images do not exist.*a\.jpg \+ b\.jpg"):
        load_samples(table, reading=ReadingOptions(strict=True))
    assert load_samples(table).summary.found == 0


def test_images_outside_of_the_data_are_followed_only_if_asked(tmp_path):
    (tmp_path / "b.jpg").write_bytes(JPEG)
    home = tmp_path / "data"
    home.mkdir()
    (home / "a.jpg").write_bytes(JPEG)
    (home / "d.jsonl").write_text('{"images": ["a.jpg", "../b.jpg"], "caption": "two"}')
    with pytest.raises(DataError, match=r"1 of 1 images .* lie outside .*b\.jpg"):
        load_samples(home / "d.jsonl")
    (sample,) = load_samples(home / "d.jsonl", bounds=ImageBounds(allow_outside=True))
    assert len(frames_of(sample.open())) == 2


def test_a_strip_keeps_its_layout_as_long_as_its_size():
    whole = strip([Image.new("RGB", (30, 20), "red"), Image.new("RGB", (20, 20), "blue")])
    assert Layout.of(whole.copy()) == Layout.of(whole)
    with pytest.raises(UsageError, match="cannot be told apart"):
        frames_of(whole.resize((10, 10)))
    buffer = io.BytesIO()
    whole.save(buffer, "PNG")
    assert frames_of(Image.open(buffer))[0].size == whole.size  # a file of it is one image


def test_a_thumbnail_of_a_strip_shows_its_images_as_large_as_alone():
    frames = [Image.new("RGB", (400, 300), "red")] * 3
    small = Image.open(io.BytesIO(thumbnail(strip(frames), 160)))
    assert small.width > 450
    assert Image.open(io.BytesIO(thumbnail(frames[0], 160))).size == (160, 120)
