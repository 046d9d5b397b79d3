"""Matching: which concept of model *b* answers to a concept of model *a*. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.optimize import linear_sum_assignment

from vitrail.comparison.shift_vectors import members
from vitrail.errors import UsageError

Matching = Literal["argmax", "one-to-one"]


def match(C: np.ndarray, how: Matching = "argmax") -> np.ndarray:
    """(K_a,) int: for each row of the cosines `C` (K_a, K_b) its column; −1 for a row that got none.

    Args:
        how: "argmax", `m(i) = argmax_j cos(u_i^a, u_j^b)`, as published: several rows may share a column.
            "one-to-one" has the largest sum of cosines in which no column is used twice (Hungarian algorithm, as in
            the paper's released code for recovery); rows beyond the number of columns get none.

    >>> C = np.array([[0.9, 0.8], [0.7, 0.1]])
    >>> match(C).tolist(), match(C, "one-to-one").tolist()
    ([0, 0], [1, 0])
    """
    if how not in get_args(Matching):
        raise UsageError(f"Concepts are matched by {' or '.join(get_args(Matching))}; got {how!r}.")
    if how == "argmax":
        return C.argmax(axis=1)
    found = np.full(len(C), -1)
    rows, columns = linear_sum_assignment(C, maximize=True)
    found[rows] = columns
    return found


@dataclass(frozen=True)
class Links:
    """Which concepts are active on the same samples, more than by chance; a concept may have no link, one, or several.

    `flow` (K_a, K_b) counts the samples whose strongest concept is *i* in *a* and *j* in *b*. `strength` (K_a, K_b) is
    the correlation of their activations over the samples, and `p` (K_a, K_b) the chance that any pair at all be so
    strong without a relation; `linked` (K_a, K_b) says which pairs are links.
    """

    flow: np.ndarray
    strength: np.ndarray
    p: np.ndarray
    linked: np.ndarray


def links(
    V_a: np.ndarray,
    V_b: np.ndarray,
    *,
    one_each: bool,
    strength: float = 0.25,
    level: float = 0.05,
    permutations: int = 500,
    seed: int = 0,
) -> Links:
    """Links between concepts by the samples that activate them, against a permutation null.

    Activations `V_a` (n, K_a) and `V_b` (n, K_b) are of the same samples. A pair is a link when the correlation of its
    activations is at least `strength`, and exceeds what the largest of all correlations reaches in all but a share
    `level` of permutations of the samples: so the error is held over all pairs at once. "No counterpart" is a possible
    answer, and so is more than one.

    Cosines cannot say this: concepts of one word share a large mean, and the cosine of any two is high.

    Args:
        one_each: whether a sample has one concept, its strongest (prototypes: a distance to every one of them says
            little), or as many as it has codes for.
    """
    owner_a, owner_b = members(V_a), members(V_b)
    flow = np.zeros((V_a.shape[1], V_b.shape[1]), dtype=int)
    owned = (owner_a >= 0) & (owner_b >= 0)
    np.add.at(flow, (owner_a[owned], owner_b[owned]), 1)
    P, Q = (_standardised(_one_hot(V) if one_each else np.abs(V)) for V in (V_a, V_b))
    seen = P.T @ Q
    rng = np.random.default_rng(seed)
    null = np.array([(P.T @ Q[rng.permutation(len(Q))]).max(initial=0.0) for _ in range(permutations)])
    p = (1 + (null[:, None, None] >= seen).sum(0)) / (1 + permutations)
    return Links(flow, seen, p, (p <= level) & (seen >= strength))


def _one_hot(V: np.ndarray) -> np.ndarray:
    return (members(V)[:, None] == np.arange(V.shape[1])).astype(float)


def _standardised(X: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and norm 1, so that products are correlations; constant ones are 0."""
    X = X - X.mean(0, dtype=np.float64)
    norms = np.linalg.norm(X, axis=0)
    return X / np.where(norms > 1e-12 * max(norms.max(initial=0.0), 1e-300), norms, np.inf)


def t_overlap(words: Sequence[str], others: Sequence[str]) -> float:
    """`T-Overlap(u, u') = 100 · |T(u) ∩ T(u')| / |T(u)|`, in percent; 0 without words.

    >>> t_overlap(["red", "blue"], ["blue", "sea"])
    50.0
    """
    mine = set(words)
    return 100.0 * len(mine & set(others)) / len(mine) if mine else 0.0
