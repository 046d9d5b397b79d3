"""Directions from states: pure functions, rows (n, features) in, one vector (features,) float32 out.

Every vector points from `away` towards `toward`, and is as long as the means of the two lie apart along it: added with
strength 1 it carries the mean of the one to the other, in that direction.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vitrail.errors import UsageError


def difference(toward: Tensor, away: Tensor) -> Tensor:
    """Difference of means, `mean(toward) − mean(away)`: the coarse vector of Khayatan et al. 2025, section 5."""
    _check(toward, away)
    return (toward.double().mean(0) - away.double().mean(0)).float()


def probe_normal(toward: Tensor, away: Tensor, *, strength: float = 1.0) -> Tensor:
    """The normal of the plane that logistic regression puts between the two, features in units of their spread within.

    Args:
        strength: inverse of its ridge penalty, scikit-learn's `C`.
    """
    from sklearn.linear_model import LogisticRegression

    _check(toward, away)
    Z = torch.cat([toward, away]).double().numpy()
    labels = np.r_[np.ones(len(toward)), np.zeros(len(away))]
    within = torch.cat([toward - toward.mean(0), away - away.mean(0)]).double().numpy()
    spread = within.std(0) + 1e-9 * np.abs(Z).max()
    fitted = LogisticRegression(C=strength, max_iter=2000).fit((Z - Z.mean(0)) / spread, labels)
    return _carrying(torch.from_numpy(fitted.coef_[0] / spread), toward, away)


def first_component(toward: Tensor, away: Tensor, seed: int = 0) -> Tensor:
    """The direction that differences between the two have most in common: first principal component, not centred.

    Rows are paired as they stand where there are as many of both, at random otherwise (Zou et al. 2023).
    """
    _check(toward, away)
    if len(toward) != len(away):
        draw = torch.Generator().manual_seed(seed)
        n = max(len(toward), len(away))
        toward_rows, away_rows = (
            Z[torch.cat([torch.randperm(len(Z), generator=draw) for _ in range(-(-n // len(Z)))])[:n]]
            for Z in (toward, away)
        )
    else:
        toward_rows, away_rows = toward, away
    _, _, rows = torch.linalg.svd((toward_rows - away_rows).double(), full_matrices=False)
    return _carrying(rows[0], toward, away)


def random_like(vector: Tensor, seed: int = 0) -> Tensor:
    """A random direction with the norm of `vector`: what any push of that size does."""
    drawn = torch.randn(vector.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (drawn / drawn.norm() * vector.double().norm()).float()


def _carrying(direction: Tensor, toward: Tensor, away: Tensor) -> Tensor:
    """`direction`, turned towards `toward` and as long as the means lie apart along it."""
    unit = direction.double() / direction.double().norm()
    return (unit * ((toward.double().mean(0) - away.double().mean(0)) @ unit)).float()


def _check(toward: Tensor, away: Tensor) -> None:
    if toward.ndim != 2 or away.ndim != 2 or toward.shape[1] != away.shape[1] or not len(toward) or not len(away):
        raise UsageError(
            f"Expected rows of states, as wide as each other; got {tuple(toward.shape)} and {tuple(away.shape)}."
        )
