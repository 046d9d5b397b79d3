"""What stands where in photographs, from small files of the form of COCO's and Visual Genome's."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitrail.errors import DataError
from vitrail.samples import Sample
from vitrail.samples.objects import from_runs, load_objects

WIDTH, HEIGHT = 9, 6
#: Drawn by hand: a step.
STEP = np.array(
    [[c == "#" for c in row] for row in (".........", "..##.....", "..##.....", "..#####..", ".........", ".........")]
)
#: What pycocotools 2.0 packs `STEP` into: `mask.encode(np.asfortranarray(STEP))["counts"]`.
PACKED = "=3302N00009"
#: Its lengths, column by column.
RUNS = [13, 3, 3, 3, 5, 1, 5, 1, 5, 1, 14]


def coco(*annotations: dict) -> dict:
    """A file of COCO's instances, of one photograph."""
    return {
        "images": [{"id": 7, "file_name": "000000000007.jpg", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 34, "name": "frisbee"}],
        "annotations": [{"id": i, "image_id": 7, "category_id": 18, **one} for i, one in enumerate(annotations)],
    }


def genome(name: str, thing: dict) -> list:
    return [{"image_id": 7, "id": 7, name: [thing]}]


BOX = np.zeros((HEIGHT, WIDTH), bool)
BOX[1:4, 2:7] = True
#: A file of things, and where the dog is by it.
FILES = {
    "box": (coco({"bbox": [2, 1, 5, 3], "segmentation": []}), BOX),
    "polygon": (coco({"segmentation": [[2, 1, 7, 1, 7, 4, 2, 4]]}), BOX),
    "two polygons": (coco({"segmentation": [[2, 1, 4, 1, 4, 4, 2, 4], [4, 1, 7, 1, 7, 4, 4, 4]]}), BOX),
    "run lengths": (coco({"segmentation": {"size": [HEIGHT, WIDTH], "counts": RUNS}, "iscrowd": 1}), STEP),
    "packed": (coco({"segmentation": {"size": [HEIGHT, WIDTH], "counts": PACKED}}), STEP),
    "two things": (coco({"bbox": [2, 1, 5, 3]}, {"bbox": [0, 0, 9, 6], "category_id": 34}), BOX),
    "objects of Visual Genome": (genome("objects", {"names": ["brown dog"], "x": 2, "y": 1, "w": 5, "h": 3}), BOX),
    "regions of Visual Genome": (genome("regions", {"phrase": "a dog", "x": 2, "y": 1, "width": 5, "height": 3}), BOX),
}  # fmt: skip


@pytest.fixture
def photograph(tmp_path: Path) -> Sample:
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "000000000007.jpg")
    return Sample("7", tmp_path / "000000000007.jpg")


def written(document: object, folder: Path) -> Path:
    path = folder / "things.json"
    path.write_text(json.dumps(document))
    return path


def is_dog(name: str) -> bool:
    return "dog" in name.split()


@pytest.mark.parametrize("kind", FILES)
def test_the_mask_of_a_thing_is_the_one_drawn_by_hand(kind, photograph, tmp_path):
    document, expected = FILES[kind]
    found = load_objects(written(document, tmp_path))
    np.testing.assert_array_equal(found.mask(photograph, is_dog), expected)
    assert found.mask(photograph, lambda name: name == "cat") is None


def test_a_photograph_is_known_by_its_id_or_by_the_name_of_its_file(photograph, tmp_path):
    found = load_objects(written(FILES["box"][0], tmp_path))
    assert found.of(photograph) == found.of(Sample("question 3", photograph.image))
    assert found.of(Sample("8", tmp_path / "000000000008.jpg")) is None
    assert found.mask(Sample("8", tmp_path / "000000000008.jpg"), is_dog) is None


def test_a_polygon_covers_the_pixels_that_it_covers_by_half(photograph, tmp_path):
    """As pycocotools 2.0.11 draws it: 2163 pixels of a photograph of 90 × 80."""
    Image.new("RGB", (90, 80)).save(photograph.image)
    outline = [10.5, 10.2, 60.7, 15.3, 50.2, 70.9, 12.2, 50.1]
    mask = load_objects(written(coco({"segmentation": [outline]}), tmp_path)).mask(photograph, is_dog)
    assert mask.sum() == pytest.approx(2163, rel=0.02)


def test_a_box_that_reaches_past_the_edge_ends_there(photograph, tmp_path):
    found = load_objects(written(genome("objects", {"names": ["dog"], "x": -2, "y": 4, "w": 30, "h": 30}), tmp_path))
    mask = found.mask(photograph, is_dog)
    assert mask.sum() == 2 * WIDTH
    assert mask[4:].all()


def test_run_lengths_of_any_mask_are_its_columns():
    mask = np.random.default_rng(0).random((13, 17)) < 0.4
    flat = np.concatenate([[False], mask.T.ravel()])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    np.testing.assert_array_equal(from_runs(np.diff([0, *edges, mask.size]).tolist(), 13, 17), mask)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"images": []}, "does not say what stands where"),
        ([], "does not say what stands where"),
        (coco({"category_id": 99, "bbox": [0, 0, 1, 1]}), r"annotations\[0\].*no category 99"),
        (coco({"image_id": 8, "bbox": [0, 0, 1, 1]}), r"annotations\[0\].*no image 8"),
        (coco({"bbox": [0, 0, 0, 1]}), "above 0"),
        (coco({"bbox": [0, 0, "a", 1]}), "list of numbers"),
        (coco({"segmentation": [[1, 2, 3]]}), "pairs of numbers"),
        (coco({}), "'bbox' is missing"),
        (genome("objects", {"names": ["dog"], "x": 1, "y": 1, "w": 1}), "'h' is missing"),
        ([{"objects": []}], "the number of an image"),
    ],
)
def test_a_flawed_file_is_named_with_the_place(document, message, tmp_path):
    with pytest.raises(DataError, match=message):
        load_objects(written(document, tmp_path))
    with pytest.raises(DataError, match="There is no file"):
        load_objects(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("outline", "message"),
    [
        ({"size": [HEIGHT, WIDTH], "counts": [3, 4]}, "add up to 7"),
        ({"size": [HEIGHT, WIDTH], "counts": [60, -6]}, "add up to 54"),
        ({"size": [HEIGHT, WIDTH], "counts": "=3\u00e9"}, "no digit"),
        ({"size": [HEIGHT, WIDTH], "counts": "=3P"}, "middle of a number"),
        ({"size": [4, 4], "counts": [16]}, "photograph has 9 × 6"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_when_it_is_drawn(outline, message, photograph, tmp_path):
    found = load_objects(written(coco({"segmentation": outline}), tmp_path))
    with pytest.raises(DataError, match=message):
        found.mask(photograph, is_dog)
