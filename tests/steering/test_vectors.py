"""Directions from two sets of states."""

from __future__ import annotations

import pytest
import torch

from vitrail.errors import UsageError
from vitrail.steering import (
    TASKS,
)
from vitrail.steering.vectors import difference, first_component, probe_normal, random_like

YES_NO = TASKS["yes-no"]


def test_vectors_point_from_one_to_the_other():
    draw = torch.Generator().manual_seed(0)
    u = torch.nn.functional.normalize(torch.randn(12, generator=draw), dim=0)
    away = 0.1 * torch.randn(60, 12, generator=draw)
    toward = 0.1 * torch.randn(60, 12, generator=draw) + 4 * u
    for make in (difference, probe_normal, first_component):
        found = make(toward, away)
        assert torch.cosine_similarity(found, u, dim=0) > 0.97, make
        assert float(found.norm()) == pytest.approx(4.0, rel=0.1), make
    pushed = random_like(4 * u, seed=1)
    assert float(pushed.norm()) == pytest.approx(4.0)
    assert not torch.equal(pushed, random_like(4 * u, seed=2))
    with pytest.raises(UsageError, match="as wide"):
        difference(toward, away[:, :3])
