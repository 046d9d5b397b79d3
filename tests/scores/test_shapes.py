"""The shapes in annotations are checked while tests run."""

from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from vitrail import scores


def test_arrays_whose_shapes_do_not_fit_are_refused_by_their_types():
    with pytest.raises(TypeCheckError, match="Expected type: <class 'Real"):
        scores.cosines(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(TypeCheckError, match="'n k'"):
        scores.hoyer(np.ones(3))
    assert scores.cosines(np.ones((2, 3)), np.ones((4, 3))).shape == (2, 4)


def test_what_a_function_returns_is_checked_too(monkeypatch):
    monkeypatch.setattr("vitrail.scores.dictionary.unit", lambda U: np.ones((len(U), 2), int))
    with pytest.raises(TypeCheckError, match="return"):
        scores.cosines(np.ones((2, 3)), np.ones((4, 3)))
