"""Scores of maps against masks, on maps and masks whose scores are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vitrail.scores.maps import (
    CUTS,
    agreement,
    area_under,
    best_overlap,
    centre_blob,
    energy_inside,
    first_pieces,
    in_pieces,
    of_pieces,
    overlaps,
    pointing,
)

MASK = np.zeros((4, 4), bool)
MASK[1:3, 1:3] = True


def test_a_map_that_is_its_mask_scores_full():
    shares = MASK.astype(float)
    assert pointing(shares, MASK) == 1
    assert energy_inside(shares, MASK) == 1
    np.testing.assert_array_equal(overlaps(shares, MASK), 1)


def test_a_map_beside_its_mask_scores_nothing():
    shares = (~MASK).astype(float)
    assert pointing(shares, MASK) == 0
    assert energy_inside(shares, MASK) == 0
    np.testing.assert_array_equal(overlaps(shares, MASK), 0)


def test_an_even_map_has_as_much_energy_in_the_mask_as_the_mask_has_area():
    assert energy_inside(np.ones((4, 4)), MASK) == pytest.approx(MASK.mean())
    np.testing.assert_allclose(overlaps(np.ones((4, 4)), MASK), MASK.mean())


def test_what_lowers_a_value_is_no_energy():
    shares = np.where(MASK, 2.0, -5.0)
    assert energy_inside(shares, MASK) == 1
    assert np.isnan(energy_inside(-np.ones((4, 4)), MASK))
    np.testing.assert_array_equal(overlaps(-np.ones((4, 4)), MASK), 0)


def test_a_map_in_which_nothing_raises_the_value_points_nowhere():
    assert pointing(np.zeros((4, 4)), MASK) == 0
    assert pointing(-np.ones((4, 4)), MASK) == 0


def test_the_cut_of_a_map_is_chosen_on_other_images():
    """Two maps are best at the first cut, one at the second; for each those of other images decide."""
    curves = np.zeros((3, len(CUTS)))
    curves[:2, 0], curves[:2, 1] = 0.9, 0.1
    curves[2, 0], curves[2, 1] = 0.2, 0.95
    found = best_overlap(curves, np.arange(3))
    np.testing.assert_allclose(found, [0.9 if 0.9 + 0.2 > 0.1 + 0.95 else 0.1] * 2 + [0.2])
    np.testing.assert_allclose(best_overlap(curves, np.array([0, 0, 1])), [0.1, 0.1, 0.2])
    assert np.isnan(best_overlap(curves, np.zeros(3, int))).all()


def test_pieces_of_a_map_add_up_to_it_and_those_with_most_come_first():
    shares = np.random.default_rng(0).random((10, 16))
    pieces = in_pieces(shares, 4)
    np.testing.assert_allclose(pieces.sum(), shares.sum())
    np.testing.assert_allclose(pieces[0, 0], shares[:3, :4].sum())  # rows 0 to 2 of 10 lie in the first of four
    np.testing.assert_allclose(in_pieces(of_pieces(pieces, (8, 8)), 4), 4 * pieces)
    taken = first_pieces(pieces, (8, 8), 4)
    assert taken.shape == (5, 8, 8)
    np.testing.assert_allclose(taken.mean(axis=(1, 2)), np.arange(5) / 4)
    best = np.unravel_index(pieces.argmax(), pieces.shape)
    assert taken[1][2 * best[0], 2 * best[1]]
    assert all((later >= earlier).all() for earlier, later in itertools.pairwise(taken))


def test_maps_agree_with_themselves_and_not_with_their_opposite():
    shares = np.random.default_rng(0).random((4, 4))
    assert agreement(shares, 3 * shares + 1) == pytest.approx(1)
    assert agreement(shares, -shares) == pytest.approx(-1)
    assert np.isnan(agreement(shares, np.ones((4, 4))))


def test_a_blob_is_largest_in_the_centre_and_the_same_from_all_sides():
    blob = centre_blob((5, 9))
    assert np.unravel_index(blob.argmax(), blob.shape) == (2, 4)
    np.testing.assert_allclose(blob, blob[::-1, ::-1])


@pytest.mark.parametrize(
    ("values", "expected"), [([4, 4, 4], 1), ([4, 0, 0], 0.25), ([4, 2, 0], 0.5), ([0, 0, 0], np.nan), ([0, 3], 0.5)]
)
def test_the_area_under_a_curve_is_relative_to_its_larger_end(values, expected):
    np.testing.assert_allclose(area_under(np.array(values, float)), expected)
