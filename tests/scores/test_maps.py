"""Scores of maps against masks, on maps and masks whose scores are known."""

from __future__ import annotations

import numpy as np
import pytest

from vitrail.scores.maps import CUTS, area_under, best_overlap, energy_inside, overlaps, pointing

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


def test_the_cut_of_a_map_is_chosen_on_the_others():
    """Two maps are best at the first cut, one at the second; for each the others decide."""
    curves = np.zeros((3, len(CUTS)))
    curves[:2, 0], curves[:2, 1] = 0.9, 0.1
    curves[2, 0], curves[2, 1] = 0.2, 0.95
    found = best_overlap(curves)
    np.testing.assert_allclose(found, [0.9 if 0.9 + 0.2 > 0.1 + 0.95 else 0.1] * 2 + [0.2])
    assert np.isnan(best_overlap(curves[:1])).all()


@pytest.mark.parametrize(
    ("values", "expected"), [([4, 4, 4], 1), ([4, 0, 0], 0.25), ([4, 2, 0], 0.5), ([0, 0, 0], np.nan), ([0, 3], 0.5)]
)
def test_the_area_under_a_curve_is_relative_to_its_larger_end(values, expected):
    np.testing.assert_allclose(area_under(np.array(values, float)), expected)
