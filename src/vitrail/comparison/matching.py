"""Matching: which concept of model *b* corresponds to a concept of model *a*. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from vitrail.comparison.options import Matching
from vitrail.errors import UsageError
from vitrail.scores import members


def match(C: Float[np.ndarray, "k_a k_b"], how: Matching = "argmax") -> Int[np.ndarray, " k_a"]:
    """The matched column of each row of the cosines `C`; −1 for a row without a match.

    Args:
        C: cosines between the concepts of *a* (rows) and of *b* (columns).
        how: "argmax", `m(i) = argmax_j cos(u_i^a, u_j^b)`, as published: several rows may share a column.
            "one-to-one" maximises the sum of cosines while no column is used twice (Hungarian algorithm, as in the
            paper's released code for recovery); where rows outnumber columns, some rows have no match.

    Raises:
        UsageError: no such way to match.

    >>> C = np.array([[0.9, 0.8], [0.7, 0.1]])
    >>> match(C).tolist(), match(C, "one-to-one").tolist()
    ([0, 0], [1, 0])
    """
    check_matching(how)
    if how == "argmax":
        return C.argmax(axis=1)
    found = np.full(len(C), -1)
    rows, columns = linear_sum_assignment(C, maximize=True)
    found[rows] = columns
    return found


def check_matching(how: str) -> None:
    """Raises `UsageError` unless there is such a way to match."""
    if how not in get_args(Matching):
        raise UsageError(f"Concepts are matched by {' or '.join(get_args(Matching))}; got {how!r}.")


@dataclass(frozen=True)
class Links:
    """Which concepts are active on the same samples, more than by chance; a concept may have no link, one, or several.

    Args:
        flow: counts of the samples whose strongest concept is *i* in *a* and *j* in *b*.
        strength: correlation of the activations of *i* and *j* over the samples.
        p: the probability that the strongest of all pairs is at least this strong by chance.
        linked: whether the pair is a link.
    """

    flow: Int[np.ndarray, "k_a k_b"]
    strength: Float[np.ndarray, "k_a k_b"]
    p: Float[np.ndarray, "k_a k_b"]
    linked: Bool[np.ndarray, "k_a k_b"]


def links(
    V_a: Float[np.ndarray, "n k_a"],
    V_b: Float[np.ndarray, "n k_b"],
    *,
    exclusive: bool,
    strength: float = 0.25,
    level: float = 0.05,
    permutations: int = 500,
    seed: int = 0,
) -> Links:
    """Links between concepts by the samples that activate them, tested by permutations of the samples.

    A pair is a link when the correlation of its activations is at least `strength`, and exceeds the largest of all
    correlations in all but a share `level` of the permutations: this controls the error over all pairs at once. A
    concept may so have no counterpart, or more than one.

    Cosines cannot show this: the concepts of one word share a large mean, so the cosine of any two is high.

    Args:
        V_a: activations in *a*; `V_b` are those of the same samples in *b*.
        exclusive: whether a sample counts for its strongest concept alone. It does for prototypes, whose activations
            are similarities to every one of them; a dictionary's codes all count.
    """
    owner_a, owner_b = members(V_a), members(V_b)
    flow = np.zeros((V_a.shape[1], V_b.shape[1]), dtype=int)
    owned = (owner_a >= 0) & (owner_b >= 0)
    np.add.at(flow, (owner_a[owned], owner_b[owned]), 1)
    P, Q = (_standardised(_one_hot(V) if exclusive else np.abs(V)) for V in (V_a, V_b))
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
