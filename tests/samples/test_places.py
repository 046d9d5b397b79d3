"""Paths in data that leave their folder are followed only where that is allowed, and it is said how many there are."""

from __future__ import annotations

import io
import json
import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vitrail.errors import DataError
from vitrail.samples import load_samples
from vitrail.samples.bounds import ImageBounds

ANYWHERE = ImageBounds(allow_outside=True)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A data folder with one image in it, and one beside it."""
    for place in ("data/in.png", "data/sub/in.png", "out.png", "data-2/out.png"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / place)
    return tmp_path / "data"


def linked(path: Path, to: Path) -> None:
    path.symlink_to(to)


#: How a path leaves the data folder → the path as written, and what makes it so.
WAYS_OUT = {
    "up": ("../out.png", None),
    "down and up": ("sub/../../out.png", None),
    "a folder whose name begins alike": ("../data-2/out.png", None),
    "absolute": ("{outside}/out.png", None),
    "a link to a file": ("link.png", lambda f: linked(f / "link.png", f.parent / "out.png")),
    "a link of a link": (
        "a.png",
        lambda f: (linked(f / "b.png", f.parent / "out.png"), linked(f / "a.png", f / "b.png")),
    ),
    "a link to a folder": ("shared/out.png", lambda f: linked(f / "shared", f.parent)),
}

#: What looks alike and stays inside.
INSIDE = {
    "plain": ("in.png", None),
    "down and up": ("sub/../in.png", None),
    "absolute": ("{outside}/data/in.png", None),
    "a link inside": ("link.png", lambda f: linked(f / "link.png", f / "in.png")),
    "missing": ("nothing.png", None),
    "no name of a file": ("n" * 300 + "/\0", None),
}


def jsonl(folder: Path, name: str) -> Path:
    lines = [{"image": "sub/in.png", "caption": "a dog"}, {"image": name, "caption": "a dog"}]
    (folder / "d.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "d.jsonl"


def csv(folder: Path, name: str) -> Path:
    (folder / "d.csv").write_text(f"image,caption\nsub/in.png,a dog\n{name},a dog")
    return folder / "d.csv"


def karpathy(folder: Path, name: str) -> Path:
    images = [{"filename": n, "cocoid": i, "sentences": []} for i, n in enumerate(("sub/in.png", name))]
    (folder / "k.json").write_text(json.dumps({"images": images}))
    return folder / "k.json"


FORMATS = {"jsonl": jsonl, "csv": csv, "karpathy": karpathy}


def prepared(folder: Path, way) -> str:
    name, make = way
    if make is not None:
        make(folder)
    return name.format(outside=folder.parent)


@pytest.mark.parametrize("write", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("way", WAYS_OUT.values(), ids=WAYS_OUT)
def test_a_path_that_leaves_the_folder_is_refused_unless_it_is_allowed(folder, caplog, way, write):
    source = write(folder, prepared(folder, way))
    with pytest.raises(DataError, match=r"1 of 2 images of .* lie outside of .*data, such as .*--allow-outside"):
        load_samples(source)
    with caplog.at_level(logging.WARNING):
        samples = load_samples(source, bounds=ANYWHERE)
    assert f"1 of 2 images of {source} lie outside of {folder}" in caplog.text
    assert samples[1].open().size == (4, 4)


@pytest.mark.parametrize("way", INSIDE.values(), ids=INSIDE)
def test_a_path_that_stays_inside_is_followed(folder, caplog, way):
    samples = load_samples(jsonl(folder, prepared(folder, way)))
    assert len(samples) == 2
    assert caplog.text == ""


def test_a_folder_that_is_a_link_itself_is_the_data_folder(folder):
    linked(folder.parent / "alias", folder)
    assert len(load_samples(jsonl(folder.parent / "alias", "in.png"))) == 2


def test_images_that_all_lie_elsewhere_are_named_by_their_folder(folder):
    samples = load_samples(jsonl(folder, "out.png"), images=folder.parent / "data-2")
    assert samples[1].open().size == (4, 4)


def test_a_folder_of_links_is_told(folder):
    linked(folder / "link.png", folder.parent / "out.png")
    with pytest.raises(DataError, match=r"1 of 3 images .* lie outside"):
        load_samples(folder)
    assert len(load_samples(folder, bounds=ANYWHERE)) == 3


def test_captions_beside_an_image_are_not_read_from_elsewhere(folder):
    (folder.parent / "secret.txt").write_text("a secret")
    linked(folder / "in.txt", folder.parent / "secret.txt")
    with pytest.raises(DataError, match=r"in\.txt leads out of .*--allow-outside"):
        load_samples(folder)
    assert load_samples(folder, bounds=ANYWHERE)[0].references == ("a secret",)


@pytest.mark.parametrize("image", ["../out.png", {"bytes": None, "path": "../out.png"}], ids=["text", "cell"])
def test_a_path_inside_a_table_of_images_is_seen_when_it_is_opened(folder, image):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "PNG")
    cells = [image, "in.png"] if isinstance(image, str) else [image, {"bytes": buffer.getvalue(), "path": None}]
    pq.write_table(pa.table({"image": cells, "id": ["a", "b"]}), folder / "d.parquet")
    if isinstance(image, str):
        with pytest.raises(DataError, match="1 of 2 images"):
            load_samples(folder / "d.parquet")
    else:
        outside, inside = load_samples(folder / "d.parquet")
        assert inside.open().size == (4, 4)
        with pytest.raises(DataError, match=r"sample 'a'.*lies outside of .*--allow-outside"):
            outside.open()
    assert load_samples(folder / "d.parquet", bounds=ANYWHERE)[0].open().size == (4, 4)


def test_regions_are_cut_from_no_image_outside(folder):
    linked(folder / "7.jpg", folder.parent / "out.png")
    region = {"region_id": 1, "x": 0, "y": 0, "width": 2, "height": 2, "phrase": "a dog"}
    (folder / "r.json").write_text(json.dumps([{"id": 7, "regions": [region]}]))
    for source in (f"regions:{folder / 'r.json'}", folder / "r.json"):
        with pytest.raises(DataError, match="1 of 1 images"):
            load_samples(source)
    [sample] = load_samples(f"regions:{folder / 'r.json'}", bounds=ANYWHERE)
    assert sample.open().size == (2, 2)
