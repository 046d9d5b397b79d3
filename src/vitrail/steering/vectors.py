"""Directions from states: pure functions from two sets of states (n, d) to one vector (d,) float32.

Every vector points from `away` to `toward`. Its length is the distance of the two means along it: added with strength
1, it moves the mean of `away` to the mean of `toward` in that direction.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitrail.errors import UsageError

States: TypeAlias = Float[Tensor, "_ d"]
Vector: TypeAlias = Float[Tensor, " d"]


def difference(toward: States, away: States) -> Vector:
    """Difference of means, `mean(toward) − mean(away)`: the coarse vector of Khayatan et al. 2025, section 5."""
    _check(toward, away)
    return (toward.double().mean(0) - away.double().mean(0)).float()


def probe_normal(toward: States, away: States, *, strength: float = 1.0) -> Vector:
    """The normal of the plane with which logistic regression separates the two sets.

    Features are divided by their standard deviation within the sets.

    Args:
        strength: inverse of the ridge penalty, scikit-learn's `C`.
    """
    from sklearn.linear_model import LogisticRegression

    _check(toward, away)
    Z = torch.cat([toward, away]).double().numpy()
    labels = np.r_[np.ones(len(toward)), np.zeros(len(away))]
    within = torch.cat([toward - toward.mean(0), away - away.mean(0)]).double().numpy()
    spread = within.std(0) + 1e-9 * np.abs(Z).max()
    fitted = LogisticRegression(C=strength, max_iter=2000).fit((Z - Z.mean(0)) / spread, labels)
    return _between_means(torch.from_numpy(fitted.coef_[0] / spread), toward, away)


def first_component(toward: States, away: States, seed: int = 0) -> Vector:
    """The first principal component, not centred, of the differences between the two sets (Zou et al. 2023).

    Rows are paired in their order if both sets have as many, and at random otherwise.
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
    return _between_means(rows[0], toward, away)


def random_like(vector: Vector, seed: int = 0) -> Vector:
    """A random direction with the norm of `vector`: a baseline that shows what any vector of that size does."""
    drawn = torch.randn(vector.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (drawn / drawn.norm() * vector.double().norm()).float()


def _between_means(direction: Vector, toward: States, away: States) -> Vector:
    """`direction`, turned towards `toward`, with the distance of the two means along it as its length."""
    unit = direction.double() / direction.double().norm()
    return (unit * ((toward.double().mean(0) - away.double().mean(0)) @ unit)).float()


def _check(toward: States, away: States) -> None:
    if toward.ndim != 2 or away.ndim != 2 or toward.shape[1] != away.shape[1] or not len(toward) or not len(away):
        raise UsageError(
            f"Expected two sets of states (n, d), as wide as each other; got {tuple(toward.shape)} and "
            f"{tuple(away.shape)}."
        )
