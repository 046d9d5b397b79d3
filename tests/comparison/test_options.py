"""Options of a comparison fit the concepts that are compared."""

from __future__ import annotations

from typing import get_args

import pytest

from vitrail.comparison import ComparisonOptions
from vitrail.comparison.shift_vectors import ShiftEstimator
from vitrail.errors import UsageError


@pytest.mark.parametrize(("prototypes", "default"), [(True, "mean"), (False, "codes")])
def test_each_kind_of_concept_has_its_own_estimator_of_shifts(prototypes, default):
    assert ComparisonOptions().of_concepts(prototypes=prototypes).estimator == default


@pytest.mark.parametrize("estimator", [e for e in get_args(ShiftEstimator) if e != "codes"])
def test_moves_of_states_are_not_averaged_for_atoms(estimator):
    options = ComparisonOptions(estimator=estimator)
    assert options.of_concepts(prototypes=True) is options
    with pytest.raises(UsageError, match="atoms have norm 1"):
        options.of_concepts(prototypes=False)
