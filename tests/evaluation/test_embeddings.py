"""Embeddings: each item is encoded once, and damage is named."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image
from tests.evaluation.fakes import Counting, photo

from vitrail.errors import ArtifactError, DataError
from vitrail.evaluation.embeddings import Embeddings
from vitrail.samples import EncodedImage, Sample


def test_everything_is_encoded_once_and_kept(tmp_path):
    fake = Counting()
    space = fake.embeddings(tmp_path)
    some = [photo(i) for i in (1, 2, 1)]
    first = space.images(some), space.texts(["a b", "c", "a b"]), space.tokens(["a b", "c", "a b"])
    assert (fake.images, fake.texts, fake.tokens) == ([2], ["a b", "c"], ["a b", "c"])
    again = Counting()
    later = again.embeddings(tmp_path)
    second = later.images(some), later.texts(["a b", "c", "a b"]), later.tokens(["a b", "c", "a b"])
    assert (again.images, again.texts, again.tokens) == ([], [], [])
    for a, b in zip(first, second, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    later.texts(["d"])
    assert again.texts == ["d"]


def test_another_scorer_reads_nothing_of_it(tmp_path):
    Counting().embeddings(tmp_path).texts(["a"])
    other = Counting("other")
    other.embeddings(tmp_path).texts(["a"])
    assert other.texts == ["a"]


def test_a_run_that_was_stopped_keeps_what_is_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules["vitrail.evaluation.embeddings"], "BLOCK", 2)
    fake = Counting()

    def stop(what: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Embeddings(tmp_path, fake.scorers, stop).texts(["a", "b", "c"])
    (tmp_path / "fake-texts" / "part-00001.safetensors").write_bytes(b"half of a part")
    again = Counting()
    assert len(again.embeddings(tmp_path).texts(["a", "b", "c"])) == 3
    assert again.texts == ["c"]


def test_damage_is_named(tmp_path):
    Counting().embeddings(tmp_path).texts(["a"])
    (tmp_path / "fake-texts" / "part-00000.json").write_text('{"keys": ["a", "b"], "lengths": [1]}')
    with pytest.raises(ArtifactError, match=r"part-00000.json is damaged"):
        Counting().embeddings(tmp_path)


def test_a_picture_is_known_by_its_contents(tmp_path):
    red, same, blue = (Image.new("RGB", (3, 3), c) for c in ("red", "red", "blue"))
    red.save(tmp_path / "a.png")
    same.save(tmp_path / "b.png")
    blue.save(tmp_path / "c.png")
    a, b, c = (Sample("x", tmp_path / f"{n}.png").image_digest() for n in "abc")
    assert a == b != c
    assert Sample("x", red).image_digest() == Sample("y", same).image_digest() != Sample("x", blue).image_digest()
    cell = EncodedImage("x", lambda: {"bytes": (tmp_path / "a.png").read_bytes()}, tmp_path)
    assert Sample("x", cell).image_digest() == a
    with pytest.raises(DataError, match="does not exist"):
        Sample("x", tmp_path / "none.png").image_digest()
