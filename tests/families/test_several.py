"""Several images of one sample: each reaches the words, in a batch as alone, and maps lie in the image they are of."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from families.builders import FAMILIES
from families.test_maps import CORNERS, GREY, NO_TOKENS, QUARTERS, painted, painted_quarter, question
from vitrail.errors import ModelError, VitrailError
from vitrail.lmm.coordinates import measured
from vitrail.lmm.doctor import Examiner, hidden_states, quick
from vitrail.lmm.sight import pixels_of
from vitrail.maps.image_maps import shape_of
from vitrail.maps.methods.registry import METHODS
from vitrail.samples import Layout, frames_of, strip

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

#: Families that are asked about one image at a time: without a place for it in their text, or with a template of one.
ONE = {
    "BLIP",
    "BLIP-2 (OPT)",
    "BLIP-2 (T5)",
    "InstructBLIP",
    "GIT",
    "Idefics",
    "Florence-2",
    "Kosmos-2",
    "ViT + GPT-2",
    "ViT + BERT",
    "Pix2Struct",
    "Fuyu",
}


#: Families that read a row otherwise when one with more images stands beside it; the doctor refuses them.
EQUAL = {"Mllama"}


def families(*others: str) -> pytest.MarkDecorator:
    """For every family that takes several images, without `others`."""
    chosen = [family for family in FAMILIES if family.name not in ONE.union(others)]
    return pytest.mark.parametrize("family", chosen, ids=lambda family: family.name, indirect=True)


def test_a_family_that_takes_one_image_is_not_asked_about_two(tiny, family, pictures):
    assert tiny.backend.takes_several == (family.name not in ONE)
    found = Examiner(tiny, pictures[:3], [tiny.prompt] * 3).several()
    if family.name in ONE:
        assert found.passed is None
        assert "one image at a time" in found.says
        with pytest.raises(ModelError, match="is asked about one image at a time"):
            tiny.prepare([strip(pictures[:2])], [tiny.prompt])
    else:
        assert found.passed, found.says
        unequal = [strip(pictures[:2]), strip(pictures[1:4])]
        if family.name in EQUAL:
            with pytest.raises(ModelError, match="is not what it computes"):
                quick(tiny, unequal, [tiny.prompt] * 2)
        else:
            assert quick(tiny, unequal, [tiny.prompt] * 2).passed


@families("PaliGemma", "Chameleon")  # which have no chat template
def test_states_of_two_images_are_the_librarys(tiny, pictures):
    """Against the processor and the model, asked as transformers documents it."""
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": tiny.prompt}]
    processor = tiny.backend.processor
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    start = tiny.tokenizer.bos_token
    adds = start is None or not text.startswith(start)
    inputs = processor(images=[pictures[:2]], text=[text], return_tensors="pt", add_special_tokens=adds)
    with torch.no_grad():
        library = hidden_states(tiny.run({k: v for k, v in inputs.items() if k != "labels"}, output_hidden_states=True))
    asked = tiny.prepare([strip(pictures[:2])], [tiny.prompt])
    ours = tiny.states(asked, [()], [asked["input_ids"].shape[1] - 1], [1])[1][0]
    torch.testing.assert_close(ours, library[1][0, -1], rtol=2e-3, atol=2e-3)


@families()
def test_rows_with_one_image_and_with_several_in_a_batch_are_the_rows_alone(tiny, family, pictures):
    images = [strip(pictures[:3]), strip(pictures[1:4]) if family.name in EQUAL else pictures[3], strip(pictures[1:4])]
    together = tiny.caption(images, max_new_tokens=4, batch_size=3)
    assert together == [tiny.caption([image], max_new_tokens=4)[0] for image in images]
    inputs = tiny.prepare(images, [tiny.prompt] * 3)
    width = inputs["input_ids"].shape[1]
    states = tiny.states(inputs, [()] * 3, [width - 1] * 3, [tiny.n_blocks])[tiny.n_blocks]
    for image, ours in zip(images, states, strict=True):
        alone = tiny.prepare([image], [tiny.prompt])
        theirs = tiny.states(alone, [()], [alone["input_ids"].shape[1] - 1], [tiny.n_blocks])[tiny.n_blocks][0]
        torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-3)


@families()
def test_numbers_of_the_processor_come_from_the_image_where_they_are_measured(tiny):
    """Against what the processor does with another picture in the place of the second."""
    which = 1
    sizes = [(84, 56), (56, 84)]
    grey = [Image.new("RGB", size, GREY) for size in sizes]
    layout = Layout.of(strip(grey))
    x, y = measured(tiny.backend, layout, tiny.prompt)
    (width, height), (left, top, right, bottom) = layout.size, layout.boxes[which]
    for corner in CORNERS:
        image, (rows, columns) = painted(sizes[which], corner)
        two = strip([*grey[:which], image, *grey[which + 1 :]])
        changed, before = (pixels_of(tiny.prepare([i], [tiny.prompt]))[1] for i in (two, strip(grey)))
        moved = (changed - before).abs().float().numpy()
        if moved.sum() == 0:  # the processor cuts that part of the image off
            continue
        down, across = shape_of(Layout(sizes[which]))
        near = 5 / 56
        own_x, own_y = (x * width - left) / (right - left), (y * height - top) / (bottom - top)
        inside = (own_x > columns.start / across - near) & (own_x < columns.stop / across + near)
        inside &= (own_y > rows.start / down - near) & (own_y < rows.stop / down + near)
        assert moved[inside].sum() / moved.sum() > 0.97


def in_the_second(tiny, method: str) -> tuple[float, float]:
    """How much of a map lies in the first image, grey throughout, and in the second, which has something in it."""
    asked = question(tiny, strip([Image.new("RGB", (112, 112), GREY), painted_quarter(QUARTERS[0])]), method)
    drawn = np.abs(METHODS[method].make(asked)[0, 0])
    half = drawn.shape[1] // 2
    return drawn[:, :half].sum(), drawn[:, half:].sum()


@families("Chameleon")
def test_a_map_of_pixels_lies_in_the_image_that_has_something_in_it(tiny):
    """The other one is its own baseline."""
    other, own = in_the_second(tiny, "integrated-gradients")
    assert other < 0.02 * own


@families()
def test_a_map_by_occlusion_lies_in_the_image_that_has_something_in_it(tiny):
    other, own = in_the_second(tiny, "occlusion")
    assert other < 0.02 * own


@families(*NO_TOKENS)
def test_a_map_of_tokens_lies_in_each_image(tiny):
    assert min(in_the_second(tiny, "gradient-tokens")) > 0


def test_a_strip_that_was_resized_is_refused(tiny, pictures):
    small = strip(pictures[:2]).resize((64, 64))
    with pytest.raises(VitrailError, match=r"one image at a time|cannot be told apart"):
        tiny.prepare([small], [tiny.prompt])


def test_a_strip_gives_back_its_images(pictures):
    images = [picture.resize(size) for picture, size in zip(pictures, [(30, 20), (20, 40), (25, 25)], strict=False)]
    for before, after in zip(images, frames_of(strip(images)), strict=True):
        np.testing.assert_array_equal(np.asarray(before), np.asarray(after))
        assert frames_of(after) == [after]
