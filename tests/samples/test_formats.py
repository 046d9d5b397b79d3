"""More sources of samples: COCO's own annotations, Visual Genome, CSV, WebDataset shards, streams of the hub."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from vitrail.errors import DataError, UsageError
from vitrail.samples import ReadingOptions, load_samples

STRICT = ReadingOptions(strict=True)


def picture(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 6), colour).save(path)
    return path


def written(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


# ---- COCO's own annotations ------------------------------------------------------------------------------------------

COCO = {
    "images": [{"id": 9, "file_name": "9.jpg"}, {"id": 4, "file_name": "4.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 4, "caption": "a cat "},
        {"id": 2, "image_id": 9, "caption": "a dog"},
        {"id": 3, "image_id": 4, "caption": "one cat"},
    ],
}


def test_cocos_own_annotations_give_each_image_its_captions(tmp_path):
    picture(tmp_path / "val2017" / "4.jpg")
    samples = load_samples(written(tmp_path / "captions_val2017.json", COCO))
    assert [(s.id, s.references) for s in samples] == [("9", ("a dog",)), ("4", ("a cat", "one cat"))]
    assert samples[1].open().size == (8, 6)
    assert len(load_samples(tmp_path / "captions_val2017.json", split="val")) == 2


def test_an_annotation_of_an_image_that_is_not_listed_is_an_error(tmp_path):
    wrong = COCO | {"annotations": [*COCO["annotations"], {"image_id": 77, "caption": "a bus"}]}
    with pytest.raises(DataError, match="annotations of 1 images that it does not list, such as 77"):
        load_samples(written(tmp_path / "captions.json", wrong))


# ---- Visual Genome ---------------------------------------------------------------------------------------------------


def test_what_is_said_of_regions_are_an_images_captions(tmp_path):
    picture(tmp_path / "VG_100K_2" / "5.jpg")
    regions = [{"region_id": 1, "phrase": "a red ball"}, {"phrase": "the grass"}, {"phrase": "a red ball"}]
    path = written(tmp_path / "region_descriptions.json", [{"id": 5, "regions": regions}, {"id": 6, "regions": []}])
    samples = load_samples(path)
    assert [(s.id, s.references) for s in samples] == [("5", ("a red ball", "the grass")), ("6", ())]
    assert samples[0].open().size == (8, 6)
    assert samples[1].image == tmp_path / "6.jpg"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": "x", "regions": []}, "field 'id' should be the number of an image, got 'x'"),
        ({"id": 1, "regions": [{}]}, r"regions\[0\]: field 'phrase' is missing"),
        ({"id": 1, "regions": 3}, "field 'regions' should be list"),
    ],
)
def test_a_record_of_regions_that_is_wrong_is_named(tmp_path, record, message):
    with pytest.raises(DataError, match=message):
        load_samples(written(tmp_path / "regions.json", [record]))


@pytest.fixture
def quarters(tmp_path: Path) -> Path:
    """An image of four colours, and regions of it: one colour, two of them, and one that reaches past the edge."""
    image = Image.new("RGB", (8, 6), "red")
    image.paste("blue", (4, 0, 8, 3))
    image.paste("green", (0, 3, 4, 6))
    image.save(tmp_path / "5.jpg", "PNG")
    boxes = {7: (4, 0, 4, 3, "blue sky"), 2: (0, 0, 4, 6, "blue sky"), 9: (-3, 3, 7, 50, "the grass")}
    names = ("x", "y", "width", "height", "phrase")
    regions = [{"region_id": i, **dict(zip(names, box, strict=True))} for i, box in boxes.items()]
    return written(tmp_path / "region_descriptions.json", [{"id": 5, "regions": regions}, {"id": 6, "regions": []}])


def test_every_region_is_a_sample_with_its_part_of_the_image(quarters):
    samples = load_samples(f"regions:{quarters}")
    assert [(s.id, s.references) for s in samples] == [
        ("5-7", ("blue sky",)),
        ("5-2", ("blue sky",)),
        ("5-9", ("the grass",)),
    ]
    assert samples[0].name == "5.jpg region 7"
    opened = [s.open() for s in samples]
    assert [image.size for image in opened] == [(4, 3), (4, 6), (4, 3)]
    assert [image.getcolors() for image in opened] == [
        [(12, (0, 0, 255))],
        [(12, (255, 0, 0)), (12, (0, 128, 0))],
        [(12, (0, 128, 0))],
    ]
    assert len(load_samples(f"regions:{quarters}", limit=2)) == 2


def test_regions_are_cut_when_they_are_opened_and_not_before(quarters, tmp_path):
    (tmp_path / "5.jpg").unlink()
    first = load_samples(f"regions:{quarters}")[0]
    with pytest.raises(DataError, match=r"sample '5-7': image 5.jpg region 7 does not exist"):
        first.open()
    picture(tmp_path / "5.jpg").rename(tmp_path / "elsewhere.jpg")
    (tmp_path / "images").mkdir()
    (tmp_path / "elsewhere.jpg").rename(tmp_path / "images" / "5.jpg")
    assert load_samples(f"regions:{quarters}", images=tmp_path / "images")[0].open().size == (4, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, r"regions\[0\]: a region should be at least one pixel wide and high, got 0 × 3"),
        ({"x": "left"}, r"regions\[0\]: field 'x' should be int, got 'left'"),
        ({"region_id": None}, r"field 'region_id' should be int"),
        ({"region_id": 2}, r"have the same id, '5-2'"),
        ({"phrase": 3}, "field 'phrase' should be str"),
    ],
)
def test_a_region_that_is_wrong_is_named(quarters, change, message):
    document = json.loads(quarters.read_text())
    document[0]["regions"][0] |= change
    with pytest.raises(DataError, match=message):
        load_samples(f"regions:{written(quarters, document)}", reading=STRICT)


def test_a_region_outside_of_its_image_cannot_be_opened(quarters):
    document = json.loads(quarters.read_text())
    document[0]["regions"][0] |= {"x": 8}
    (sample, *_) = load_samples(f"regions:{written(quarters, document)}")
    with pytest.raises(DataError, match=r"'5-7'.*lies outside of its image of 8 × 6 pixels"):
        sample.open()


def test_only_regions_are_read_region_by_region(tmp_path):
    with pytest.raises(DataError, match="has no regions; `regions:` is for Visual Genome's"):
        load_samples(f"regions:{written(tmp_path / 'a.json', COCO)}")
    with pytest.raises(DataError, match=r"no\.json cannot be read"):
        load_samples(f"regions:{tmp_path / 'no.json'}")
    with pytest.raises(DataError, match=r"regions\[0\] should be an object, got 3"):
        load_samples(f"regions:{written(tmp_path / 'b.json', [{'id': 1, 'regions': [3]}])}")
    regions = written(tmp_path / "c.json", [{"id": 1, "regions": []}])
    with pytest.raises(UsageError, match="no use for annotations="):
        load_samples(f"regions:{regions}", reading=ReadingOptions(annotations=tmp_path / "a.json"))


# ---- CSV -------------------------------------------------------------------------------------------------------------


def test_flickrs_own_file_gives_each_image_its_five_captions(tmp_path):
    lines = ["image_name| comment_number| comment"]
    lines += [f"{name}.jpg| {n}| {name}, caption {n} ." for name in ("10", "11") for n in range(5)]
    samples = load_samples(written(tmp_path / "results.csv", "\n".join(lines)))
    assert [s.id for s in samples] == ["10.jpg", "11.jpg"]
    assert samples[0].references == tuple(f"10, caption {n} ." for n in range(5))
    assert samples[0].image == tmp_path / "10.jpg"


def test_flickrs_file_on_the_hub_has_its_captions_as_a_json_list(tmp_path):
    text = 'raw,sentids,split,filename,img_id\n"[""a dog"", ""two, dogs""]","[0, 1]",train,1.jpg,0\n'
    (sample,) = load_samples(written(tmp_path / "flickr_annotations_30k.csv", text), split="train")
    assert (sample.id, sample.references) == ("1.jpg", ("a dog", "two, dogs"))


def test_a_table_with_ids_has_one_sample_a_row_whatever_its_images(tmp_path):
    text = "id,image,question,answer\na,1.jpg,what is it?,a dog\nb,1.jpg,where is it?,outside\n"
    samples = load_samples(written(tmp_path / "vqa.csv", text))
    assert [(s.id, s.question, s.answers) for s in samples] == [
        ("a", "what is it?", ("a dog",)),
        ("b", "where is it?", ("outside",)),
    ]


def test_tabs_and_semicolons_separate_too(tmp_path):
    assert load_samples(written(tmp_path / "a.tsv", "image\tcaption\n1.jpg\ta, b\n"))[0].references == ("a, b",)
    assert load_samples(written(tmp_path / "b.csv", "image;caption\n1.jpg;a, b\n"))[0].references == ("a, b",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,caption\n1.jpg\n", "1 cells, but there are 2 columns: image, caption"),
        (
            "image,question\n1.jpg,what?\n1.jpg,where?\n",
            "has the image of an earlier row, '1.jpg', and no caption or id",
        ),
        ("filename,raw\n1.jpg,[oops\n", "field 'raw': malformed JSON"),
        ("image,caption\n,a dog\n", "field 'image' is missing"),
        ('image,caption\n1.jpg,"a" dog\n', "malformed CSV"),
    ],
)
def test_a_csv_that_is_wrong_is_an_error_that_says_where(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        load_samples(written(tmp_path / "a.csv", text), reading=STRICT)


# ---- WebDataset ------------------------------------------------------------------------------------------------------


def shard(path: Path, entries: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def jpeg(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    pytest.importorskip("webdataset")
    shard(tmp_path / "part-000.tar", {"a.png": jpeg("red"), "a.txt": b"a red square\na square", "b.png": jpeg("blue")})
    shard(
        tmp_path / "part-001.tar",
        {"a.json": json.dumps({"caption": "green", "id": 7, "width": 8}).encode(), "a.png": jpeg("green")},
    )
    return tmp_path


def test_shards_give_samples_whose_images_stay_in_them(shards):
    samples = load_samples(shards)
    assert [s.id for s in samples] == ["part-000/a", "part-000/b", "7"]
    assert [s.references for s in samples] == [("a red square", "a square"), (), ("green",)]
    assert [s.open().getpixel((0, 0)) for s in samples] == [(255, 0, 0), (0, 0, 255), (0, 128, 0)]


def test_shards_are_named_by_a_pattern_or_one_by_one(shards):
    assert len(load_samples(str(shards / "part-{000..001}.tar"))) == 3
    assert len(load_samples(shards / "part-001.tar")) == 1


def test_a_shard_that_is_missing_or_damaged_is_an_error(shards):
    with pytest.raises(DataError, match=r"1 of 3 files do not exist, such as .*part-002\.tar"):
        load_samples(str(shards / "part-{000..002}.tar"))
    (shards / "part-001.tar").write_bytes(b"no tar at all")
    with pytest.raises(DataError, match=r"part-001\.tar: damaged shard"):
        load_samples(shards)


def test_a_sample_in_a_shard_without_an_image_is_an_error(tmp_path):
    pytest.importorskip("webdataset")
    shard(tmp_path / "x.tar", {"a.txt": b"a dog"})
    with pytest.raises(DataError, match=r"a should hold one image, or .*; it holds txt"):
        load_samples(tmp_path / "x.tar")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (
            [("a.png", jpeg("red")), ("a.txt", b"a dog"), ("a.txt", b"a cat")],
            r"damaged shard \(ValueError: a\.txt: du",
        ),
        ([("a.png", jpeg("red")), ("a.txt", "hünd".encode("latin-1"))], r"a\.txt is not UTF-8 text"),
        ([("a.png", jpeg("red")), ("a.json", b"[" * 100_000)], r"a: malformed JSON: it is nested too deeply"),
        ([("a.png", jpeg("red")), ("a.json", b'{"id": 1, "id": 2}')], r"a: malformed JSON: the name 'id' stands twice"),
        ([("a.png", jpeg("red")), ("a.json", b"[]")], r"a: its JSON should be an object"),
        ([("h\udcfcnd.png", jpeg("red"))], "text that is not valid Unicode"),
    ],
)
def test_a_shard_that_says_two_things_or_no_text_is_an_error(tmp_path, members, message):
    pytest.importorskip("webdataset")
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(DataError, match=message):
        load_samples(tmp_path / "x.tar")


def test_without_webdataset_the_error_names_what_to_install(shards, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "webdataset", None)
    with pytest.raises(DataError, match=r"pip install 'vitrail\[webdataset\]'"):
        load_samples(shards)


# ---- streams ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def streamed(monkeypatch):
    """A hub whose dataset can only be streamed; how many rows were taken from it is counted."""
    datasets = pytest.importorskip("datasets")
    taken = []

    def rows():
        for i in range(1000):
            taken.append(i)
            yield {"id": str(i), "image": Image.new("RGB", (8, 6), "red"), "caption": f"picture {i}", "extra": i}

    text, number = datasets.Value("string"), datasets.Value("int64")
    features = datasets.Features(id=text, image=datasets.Image(), caption=text, extra=number)
    stream = datasets.IterableDataset.from_generator(rows, features=features)

    def load_dataset(name: str, streaming: bool = False):
        assert (name, streaming) == ("some/where", True)
        return {"train": stream}

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return taken


def test_a_stream_gives_its_first_rows_and_reads_no_further(streamed):
    samples = load_samples("stream:some/where", limit=3)
    assert [(s.id, s.references) for s in samples] == [(str(i), (f"picture {i}",)) for i in range(3)]
    assert samples[2].open().size == (8, 6)
    assert len(streamed) < 10


def test_a_stream_needs_a_limit_and_a_split_that_exists(streamed):
    with pytest.raises(UsageError, match="give a limit"):
        load_samples("stream:some/where")
    with pytest.raises(UsageError, match="has no split 'test'; its splits: train"):
        load_samples("stream:some/where", split="test", limit=2)
