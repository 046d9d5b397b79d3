"""The rules that say what became of a concept, on planted links."""

from __future__ import annotations

import numpy as np
import pytest

from vitrail.comparison.changes import ChangeRules, activation_mass, classify_changes, has_emerged
from vitrail.comparison.matching import Links


def planted_links() -> Links:
    """0 stays, 1 splits in two, 2 and 3 merge, 4 has nothing; 4 and 5 after have no one before."""
    strength = np.zeros((5, 6))
    for i, j, s in ((0, 0, 0.9), (1, 1, 0.6), (1, 2, 0.55), (2, 3, 0.6), (3, 3, 0.65), (0, 1, 0.3)):
        strength[i, j] = s
    flow = (100 * strength).astype(int)
    return Links(flow, strength, np.where(strength > 0, 0.01, 1.0), strength > 0)


def test_every_rule_of_change_is_applied():
    found = planted_links()
    masses = (np.full(5, 0.2), np.array([0.2, 0.1, 0.1, 0.3, 0.2, 0.1]))
    overlaps = np.zeros((5, 6))
    overlaps[0, 0] = 60
    assert classify_changes(found, *masses, overlaps, ChangeRules()) == [
        "refined",
        "split",
        "merged",
        "merged",
        "faded",
    ]
    assert classify_changes(found, *masses, overlaps, ChangeRules(words=70))[0] == "changed"
    assert has_emerged(found, *masses, ChangeRules()).tolist() == [False, False, False, False, True, True]


def test_a_concept_of_which_little_is_left_faded_and_one_that_grew_much_emerged():
    found = planted_links()
    overlaps = np.full((5, 6), 100.0)
    small = np.array([0.04, 0.02, 0.1, 0.3, 0.2, 0.34])
    assert classify_changes(found, np.full(5, 0.2), small, overlaps, ChangeRules())[0] == "faded"
    assert classify_changes(found, np.full(5, 0.2), small, overlaps, ChangeRules(mass=0.1))[0] == "refined"
    grown = np.array([0.7, 0.1, 0.1, 0.1, 0.0, 0.0])
    assert has_emerged(found, np.full(5, 0.2), grown, ChangeRules())[0]


def test_mass_is_the_share_of_activation_or_of_samples():
    V = np.array([[3.0, 1.0], [0.0, -4.0]])
    assert activation_mass(V, exclusive=False) == pytest.approx([3 / 8, 5 / 8])
    assert activation_mass(V, exclusive=True) == pytest.approx([0.5, 0.5])
