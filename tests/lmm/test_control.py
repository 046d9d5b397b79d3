"""Texts of people that speak the model's language: marks of the image are taken off, control tokens are refused by the
sample's name, and an image that a processor refuses is a listed skip, wherever it stands."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from PIL import Image

from vitrail.errors import DataError
from vitrail.extraction import extract
from vitrail.finetuning.forcing import teacher_forced
from vitrail.samples import Sample
from vitrail.samples.examples import Example
from vitrail.samples.opening import Opener

PICTURE = Image.new("RGB", (64, 64), "red")
QUESTION = "what is this ?"


@pytest.mark.parametrize(
    ("asked", "heard"),
    [
        ("<image>\nwhat is this ?", QUESTION),
        ("<image> <image>\n what is this ?", QUESTION),
        ("<|image|>what is this ?", QUESTION),
        ("<Image>\r\nwhat is this ?", QUESTION),
        ("what is a < b > c ?", "what is a < b > c ?"),
        ("is it <b>bold</b> ?", "is it <b>bold</b> ?"),
    ],
)
def test_marks_of_the_image_at_the_head_of_a_question_are_taken_off(lmm, asked, heard):
    sample = Sample("q1", PICTURE, question=asked)
    assert lmm.request(sample) == heard
    if heard == QUESTION:
        plain = lmm.prepare_samples([Sample("q1", PICTURE, question=QUESTION)])
        torch.testing.assert_close(lmm.prepare_samples([sample])["input_ids"], plain["input_ids"])


def controls(lmm) -> list[str]:
    return [lmm.tokenizer.eos_token, lmm.tokenizer.pad_token, *map(lmm.tokenizer.decode, lmm.image_tokens)]


@pytest.mark.parametrize("which", range(3), ids=["end", "padding", "image"])
def test_a_control_token_elsewhere_is_refused_by_the_samples_name(lmm, which):
    token = controls(lmm)[which]
    says = rf"{token}', which is a control token of toyland\. Take it out"
    with pytest.raises(DataError, match=rf"sample 'q1': its question holds '{says}"):
        lmm.request(Sample("q1", PICTURE, question=f"what is {token} this ?"))
    with pytest.raises(DataError, match=says):
        lmm.continuation(lmm.prompt, f"a dog {token} in the snow")
    with pytest.raises(DataError, match=says):
        lmm.taught([PICTURE], [lmm.prompt], [f"a dog {token} in the snow"])
    example = Example(Sample("e1", PICTURE), f"a dog {token} in the snow")
    with pytest.raises(DataError, match=f"sample 'e1': its answer holds '{says}"):
        teacher_forced(lmm, [example])


def test_a_reference_with_a_control_token_is_a_listed_skip(lmm, dogs, tmp_path):
    bad = dataclasses.replace(dogs[1], references=(f"a dog {lmm.tokenizer.eos_token} sits",))
    made = extract(lmm, [dogs[0], bad, dogs[2]], "dog", out=tmp_path / "a", require="truth")
    assert [row.sample_id for row in made.rows] == [dogs[0].id, dogs[2].id]
    [(sample, why)] = made.counts.unreadable
    assert sample == bad.id
    assert f"sample '{bad.id}': its reference holds '{lmm.tokenizer.eos_token}'" in why


@pytest.fixture
def refusing(lmm, monkeypatch):
    """The bundled model with a processor that refuses an aspect ratio of 4, as Qwen2-VL's does one of 200."""
    prepare = type(lmm.backend).prepare

    def picky(self, images, requests):
        if any(max(i.size) >= 4 * min(i.size) for i in images):
            raise ValueError("absolute aspect ratio must be smaller than 4")
        return prepare(self, images, requests)

    monkeypatch.setattr(type(lmm.backend), "prepare", picky)
    return lmm


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("require", ["truth", "predicted"])
def test_an_image_that_the_processor_refuses_is_skipped_wherever_it_stands(refusing, dogs, tmp_path, place, require):
    some = [dataclasses.replace(d, question=None) for d in dogs[:3]]
    odd = dataclasses.replace(some[place], id="odd", image=Image.new("RGB", (400, 50)))
    given = [*some[:place], odd, *some[place + 1 :]]
    plain = extract(refusing, [s for s in given if s.id != "odd"], "dog", out=tmp_path / "b", require=require)
    made = extract(refusing, given, "dog", out=tmp_path / "a", require=require)
    assert [row.sample_id for row in made.rows] == [row.sample_id for row in plain.rows]
    torch.testing.assert_close(made.states(8), plain.states(8), rtol=1e-4, atol=1e-3)
    [(sample, why)] = made.counts.unreadable
    assert sample == "odd"
    assert why == (
        "sample 'odd': the processor of toyland refuses image 1 of 1, of 400 × 50 pixels "
        "(ValueError: absolute aspect ratio must be smaller than 4)"
    )


def test_a_batch_says_which_image_the_processor_refuses(refusing):
    images = [PICTURE, Image.new("RGB", (50, 400)), PICTURE]
    with pytest.raises(DataError, match=r"refuses image 2 of 3, of 50 × 400 pixels \(ValueError"):
        refusing.prepare(images, [refusing.prompt] * 3)


def test_what_is_wrong_with_a_whole_batch_is_blamed_on_no_image(lmm, monkeypatch):
    prepare = type(lmm.backend).prepare

    def broken(self, images, requests):
        if len(images) > 1:
            raise KeyError("pixel_values")
        return prepare(self, images, requests)

    monkeypatch.setattr(type(lmm.backend), "prepare", broken)
    with pytest.raises(KeyError, match="pixel_values"):
        lmm.prepare([PICTURE, PICTURE], [lmm.prompt] * 2)


def test_each_item_that_is_refused_is_listed_and_the_others_have_their_results():
    samples = [Sample(str(i), Image.new("RGB", (i + 1, 1))) for i in range(9)]

    def make(items, images):
        if any(image.width in (3, 8) for image in images):
            raise DataError("too odd")
        return [image.width for image in images]

    opener = Opener()
    made = opener.each(samples, lambda s: s, make)
    assert made == [([0, 1], [1, 2]), ([3], [4]), ([4, 5], [5, 6]), ([6], [7]), ([8], [9])]
    assert opener.skipped == {"2": "sample '2': too odd", "7": "sample '7': too odd"}
