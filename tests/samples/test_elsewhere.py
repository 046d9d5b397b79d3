"""Data at a URL are the samples that the same data are on this disk, and their images lie where they lie."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from vitrail.artifacts.remote import file_system
from vitrail.errors import DataError
from vitrail.samples import ImageBounds, load_samples
from vitrail.samples import elsewhere as module

pytestmark = pytest.mark.filterwarnings("ignore")  # of the server, and of the libraries that speak to it

COLOURS = ("red", "green", "blue", "white")


def encoded(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(buffer, "PNG")
    return buffer.getvalue()


def images(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for colour in COLOURS:
        (folder / f"{colour}.png").write_bytes(encoded(colour))


def a_folder(folder: Path) -> str:
    images(folder / "inner")
    for colour in COLOURS[:2]:
        (folder / "inner" / f"{colour}.txt").write_text(f"a {colour} field\nit is {colour}")
    return ""


def jsonl(folder: Path) -> str:
    images(folder / "photos")
    lines = [json.dumps({"image": f"photos/{c}.png", "captions": [f"a {c} field"]}) for c in COLOURS]
    (folder / "captions.jsonl").write_text("\n".join(lines))
    return "captions.jsonl"


def csv(folder: Path) -> str:
    images(folder)
    (folder / "captions.csv").write_text("image,caption\n" + "\n".join(f"{c}.png,a {c} field" for c in COLOURS))
    return "captions.csv"


def karpathy(folder: Path) -> str:
    """Its images lie in `val2014` for some, and beside it for others: which, tells only a look."""
    images(folder / "val2014")
    (folder / "val2014" / "red.png").rename(folder / "red.png")
    found = [
        {
            "cocoid": i,
            "filename": f"{c}.png",
            "filepath": "val2014",
            "split": "val",
            "sentences": [{"raw": f"a {c} one"}],
        }
        for i, c in enumerate(COLOURS)
    ]
    (folder / "dataset_coco.json").write_text(json.dumps({"images": found}))
    return "dataset_coco.json"


def parquet(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"image": encoded(c), "caption": f"a {c} field", "id": c} for c in COLOURS]
    pq.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")
    return "data.parquet"


def shards(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(2):
        with tarfile.open(folder / f"part-{number}.tar", "w") as tar:
            for colour in COLOURS[2 * number : 2 * number + 2]:
                for end, content in (("png", encoded(colour)), ("txt", f"a {colour} field".encode())):
                    about = tarfile.TarInfo(f"{colour}.{end}")
                    about.size = len(content)
                    tar.addfile(about, io.BytesIO(content))
    return ""


def one_shard(folder: Path) -> str:
    shards(folder)
    return "part-1.tar"


def shards_by_a_pattern(folder: Path) -> str:
    shards(folder)
    return "part-{0..1}.tar"


SOURCES: list[Callable[[Path], str]] = [
    a_folder,
    jsonl,
    csv,
    karpathy,
    parquet,
    shards,
    one_shard,
    shards_by_a_pattern,
]


def sent(folder: Path, url: str) -> None:
    """Copies a folder to a URL."""
    fs, path = file_system(url)
    for file in folder.rglob("*"):
        if file.is_file():
            fs.pipe_file(f"{path}/{file.relative_to(folder).as_posix()}", file.read_bytes())


@pytest.fixture(params=["memory", "s3"])
def url(request) -> str:
    if request.param == "memory":
        return f"memory://{uuid4().hex}/data"
    return f"{request.getfixturevalue('bucket')}/{uuid4().hex}/data"


@pytest.fixture(autouse=True)
def nothing_read():
    module._read.clear()


@pytest.mark.parametrize("source", SOURCES)
def test_data_at_a_url_are_the_samples_of_a_disk(source, url, tmp_path):
    name = source(tmp_path / "data")
    sent(tmp_path / "data", url)
    local = load_samples(tmp_path / "data" / name)
    there = load_samples(f"{url}/{name}".rstrip("/"))
    assert [s.digests() for s in there] == [s.digests() for s in local]
    for a, b in zip(there, local, strict=True):
        assert (a.name, a.references, a.size()) == (b.name, b.references, b.size())
        assert a.open().tobytes() == b.open().tobytes()
    assert "unreadable" not in {digest for s in local for digest in s.digests()}


@pytest.mark.parametrize("source", [s for s in SOURCES if s is not parquet])
def test_an_image_is_opened_in_another_process_by_its_url(source, tmp_path):
    """What a worker gets names no file of this machine."""
    url, name = f"memory://{uuid4().hex}/data", source(tmp_path / "data")
    sent(tmp_path / "data", url)
    for sample in load_samples(f"{url}/{name}".rstrip("/")):
        packed = pickle.dumps(sample)
        assert b"vitrail-data" not in packed
        assert pickle.loads(packed).digests() == sample.digests()


def test_images_are_read_when_they_are_opened_and_once_for_a_few_looks(tmp_path, monkeypatch):
    url = f"memory://{uuid4().hex}/data"
    jsonl(tmp_path)
    sent(tmp_path, url)
    asked = []
    before = type(file_system(url)[0]).cat_file

    def counted(self, path, **rest):
        asked.append(path)
        return before(self, path, **rest)

    monkeypatch.setattr(type(file_system(url)[0]), "cat_file", counted)
    samples = load_samples(f"{url}/captions.jsonl")
    assert asked == []
    first = samples[0]
    first.size(), first.digests(), first.open()
    assert len(asked) == 1
    monkeypatch.setattr(module, "_KEPT", 1)
    samples[1].size(), samples[1].open(), samples[0].open()
    assert len(module._read) == 1


def test_a_file_url_is_a_path(tmp_path):
    jsonl(tmp_path)
    there, here = load_samples(f"file://{tmp_path}/captions.jsonl"), load_samples(tmp_path / "captions.jsonl")
    assert there == here


def test_no_more_shards_are_read_than_the_limit_needs(tmp_path):
    url = f"memory://{uuid4().hex}"
    one_shard(tmp_path)
    sent(tmp_path, url)
    found = load_samples(f"{url}/part-{{0..9}}.tar", limit=3)
    assert [s.id for s in found] == ["part-0/red", "part-0/green", "part-1/blue"]
    with pytest.raises(DataError, match=r"part-2\.tar is not there"):
        load_samples(f"{url}/part-{{0..9}}.tar", limit=5)


def test_images_may_lie_elsewhere_than_the_table(tmp_path):
    url = f"memory://{uuid4().hex}/photos"
    for source in (jsonl, karpathy):
        folder = tmp_path / source.__name__
        name = source(folder)
        sent(folder, url)
        expected = [s.digests() for s in load_samples(folder / name)]
        table = tmp_path / f"only-{name}"
        table.write_bytes((folder / name).read_bytes())
        assert [s.digests() for s in load_samples(table, images=url)] == expected


def test_a_url_in_a_table_is_followed_where_it_is_below_the_data_or_that_is_allowed(tmp_path):
    home = f"memory://{uuid4().hex}"
    images(tmp_path / "photos")
    sent(tmp_path, home)
    lines = [json.dumps({"image": f"{home}/photos/{c}.png", "id": c}) for c in COLOURS]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    with pytest.raises(DataError, match=f"4 of 4 images of .* lie outside of .*, such as {home}/photos/red.png"):
        load_samples(tmp_path / "a.jsonl")
    allowed = load_samples(tmp_path / "a.jsonl", bounds=ImageBounds(allow_outside=True))
    assert [s.open().getpixel((0, 0)) for s in allowed][:2] == [(255, 0, 0), (0, 128, 0)]
    sent(tmp_path, home)
    assert [s.digests() for s in load_samples(f"{home}/a.jsonl")] == [s.digests() for s in allowed]


@pytest.mark.parametrize("image", ["../secret.png", "memory://elsewhere/secret.png", "{home}/../secret.png"])
def test_a_path_that_leads_out_of_the_data_is_refused(tmp_path, image):
    home = f"memory://{uuid4().hex}/data"
    fs, path = file_system(home)
    fs.pipe_file(f"{path}/a.jsonl", json.dumps({"image": image.format(home=home)}).encode())
    with pytest.raises(DataError, match=f"1 of 1 images of {home}/a.jsonl lie outside of {home}"):
        load_samples(f"{home}/a.jsonl")


def test_what_is_not_there_is_named(tmp_path):
    url = f"memory://{uuid4().hex}/data"
    with pytest.raises(DataError, match=f"{url} is not there, or is empty"):
        load_samples(url)
    with pytest.raises(DataError, match=f"{url}/a.tar is not there"):
        load_samples(f"{url}/a.tar")
    fs, path = file_system(url)
    fs.pipe_file(f"{path}/a.jsonl", json.dumps({"image": "red.png"}).encode())
    (sample,) = load_samples(f"{url}/a.jsonl")
    with pytest.raises(DataError, match=r"sample 'red.png': image red.png cannot be read: .*red.png is not there"):
        sample.open()


def test_a_bucket_that_is_not_there_is_named(bucket):
    with pytest.raises(DataError, match=r"s3://nowhere/data is not there: .*bucket does not exist"):
        load_samples("s3://nowhere/data")
