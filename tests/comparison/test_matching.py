"""Which concepts correspond: by cosines, and by the samples that activate them."""

from __future__ import annotations

import numpy as np
import pytest

from vitrail.comparison.changes import counterparts
from vitrail.comparison.matching import links, match, t_overlap
from vitrail.errors import UsageError


def owned(owner: np.ndarray, k: int) -> np.ndarray:
    return np.eye(k)[owner]


def test_argmax_may_use_a_column_twice_and_one_to_one_may_not():
    C = np.array([[0.9, 0.8, 0.0], [0.95, 0.1, 0.0], [0.0, 0.2, 0.1]])
    assert match(C).tolist() == [0, 0, 1]
    assert match(C, "one-to-one").tolist() == [1, 0, 2]


def test_one_to_one_is_the_best_of_all_assignments():
    from itertools import permutations

    C = np.random.default_rng(7).normal(size=(5, 5))
    best = max(permutations(range(5)), key=lambda p: sum(C[i, j] for i, j in enumerate(p)))
    assert match(C, "one-to-one").tolist() == list(best)


@pytest.mark.usefixtures("unchecked")
def test_rows_beyond_the_columns_have_no_match():
    found = match(np.array([[0.5], [0.9], [0.1]]), "one-to-one")
    assert found.tolist() == [-1, 0, -1]
    with pytest.raises(UsageError, match="one-to-one or argmax; got 'both'"):
        match(np.eye(2), "both")  # type: ignore[arg-type]


def test_concepts_of_unrelated_samples_have_no_links():
    rng = np.random.default_rng(8)
    wrong = 0
    for seed in range(20):
        a, b = owned(rng.integers(8, size=200), 8), owned(rng.integers(8, size=200), 8)
        wrong += links(a, b, exclusive=True, strength=0.0, permutations=200, seed=seed).linked.any()
    assert wrong <= 4  # one in twenty by chance


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_split_a_merge_and_a_concept_that_stays_are_linked_as_planted(exclusive):
    """0 goes on as 0, 1 splits into 1 and 2, 2 and 3 merge into 3."""
    rng = np.random.default_rng(9)
    before = rng.integers(4, size=600)
    half = rng.random(600) < 0.5
    after = np.select([before == 0, (before == 1) & half, before == 1], [0, 1, 2], 3)
    found = links(owned(before, 4), owned(after, 4), exclusive=exclusive)
    planted = np.zeros((4, 4), dtype=bool)
    planted[[0, 1, 1, 2, 3], [0, 1, 2, 3, 3]] = True
    assert (found.linked == planted).all()
    assert found.flow.sum() == 600
    assert found.flow[1, 1] == ((before == 1) & half).sum()
    assert counterparts(found).tolist()[0] == 0


def test_t_overlap_is_the_share_of_the_first_concepts_own_words():
    assert t_overlap(["red", "blue"], ["blue", "sea", "boat", "sky"]) == 50.0
    assert t_overlap(["blue", "sea", "boat", "sky"], ["red", "blue"]) == 25.0
    assert t_overlap([], ["red"]) == 0.0
