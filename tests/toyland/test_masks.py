"""Masks say where the parts of a picture stand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from vitrail.errors import ArtifactError
from vitrail.toyland.draw import COMPANION, GROUND, SKY, SUBJECT, draw, draw_with_parts
from vitrail.toyland.ground_truth import load_masks, mask_path
from vitrail.toyland.world import scene

SEEDS = range(12)


def parts_of(one):
    return np.array(draw_with_parts(one)[1])


@pytest.mark.parametrize("seed", SEEDS)
def test_another_colour_changes_pixels_of_the_subjects_alone(seed):
    """Up to the pixel at their edge, where the picture is scaled down."""
    one = scene(seed)
    other = replace(one, colour="teal")
    changed = np.any(np.array(draw(one)) != np.array(draw(other)), axis=2)
    subject = parts_of(one) >= SUBJECT
    near = np.array([np.roll(subject, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)]).any(axis=0)
    assert changed.sum() > 50
    assert not (changed & ~near).any()


def test_every_subject_and_the_companion_have_a_number():
    for one in map(scene, SEEDS):
        found = set(np.unique(parts_of(one)).tolist())
        assert {SUBJECT + i for i in range(one.count)} >= found - {SKY, GROUND, COMPANION}
        assert SUBJECT in found
        assert (COMPANION in found) == (one.companion != "none")


def test_the_picture_is_the_same_with_and_without_its_parts():
    for one in map(scene, SEEDS):
        assert draw(one).tobytes() == draw_with_parts(one)[0].tobytes()


def test_masks_of_a_data_set_are_those_of_its_scenes(world):
    masks = load_masks(world)
    one = scene(3 * 1_000_000 + 7)
    drawn = parts_of(one)
    np.testing.assert_array_equal(masks.of("7", masks.part_of("colour")), drawn >= SUBJECT)
    np.testing.assert_array_equal(masks.of("7", masks.part_of("place")), drawn == GROUND)
    np.testing.assert_array_equal(masks.of("7", masks.part_of("companion")), drawn == COMPANION)
    assert masks.part_of("mood") is None


def test_data_without_masks_have_none_and_a_missing_one_is_named(tmp_path, world):
    assert load_masks(tmp_path) is None
    with pytest.raises(ArtifactError, match=r"no-such\.png cannot be read"):
        load_masks(world).of("no-such", "subject")
    assert mask_path(world, "0").exists()
