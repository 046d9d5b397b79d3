"""Vectors from a study's concepts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vitrail.errors import UsageError
from vitrail.steering import (
    TASKS,
    concept_vector,
)

YES_NO = TASKS["yes-no"]


def test_concepts_become_vectors(lmm, activations, concepts, tmp_path):
    one = concept_vector(lmm, activations, concepts, 2, out=tmp_path / "one")
    fine = concept_vector(lmm, activations, concepts, 2, 0, out=tmp_path / "fine")
    layer = concepts.layer
    codes = concepts.V[:, 2]
    expected = concepts.U[2] * codes[codes != 0].mean()
    np.testing.assert_allclose(one.directions[layer].numpy(), expected, rtol=1e-5)
    other = concept_vector(lmm, activations, concepts, 0, out=tmp_path / "other")
    torch.testing.assert_close(fine.directions[layer], one.directions[layer] - other.directions[layer])
    with pytest.raises(UsageError, match="0 to 5"):
        concept_vector(lmm, activations, concepts, 6, out=tmp_path / "none")
