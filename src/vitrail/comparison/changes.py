"""What became of each concept: refined, changed, split, merged, faded, or emerged. Rules with numbers, pure functions.

The papers name these changes and publish no thresholds. Ours look at the samples first (which concepts of *b* are
active on the samples of a concept of *a*, more than by chance: `match.links`), then at activation mass, then at words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vitrail.comparison.matching import Links
from vitrail.comparison.shift_vectors import sizes

Change = Literal["refined", "changed", "split", "merged", "faded", "emerged"]


@dataclass(frozen=True)
class Rules:
    """The numbers in the rules.

    Args:
        words: T-Overlap with the counterpart, in percent, from which a concept is refined and not changed.
        strength: of a link, the correlation of activations over the samples.
        part: of the strength of a concept's strongest link, which another one must have for both to be parts of it.
        mass: a concept faded when its links together have less than this share of its activation mass, and one of *b*
            emerged when it has more than the inverse of it.
        level: of the links' test against chance.
        permutations: of that test.
    """

    words: float = 50.0
    strength: float = 0.25
    part: float = 0.7
    mass: float = 0.5
    level: float = 0.05
    permutations: int = 500


def mass(V: np.ndarray, *, one_each: bool) -> np.ndarray:
    """(K,): the share of each concept in the activation of all, `Σ_m |v_mk| / Σ_mk |v_mk|`; in the samples, where each
    has one concept alone (prototypes)."""
    if one_each:
        return sizes(V) / max(len(V), 1)
    total = np.abs(V).sum(0, dtype=np.float64)
    return total / max(total.sum(), np.finfo(float).tiny)


def counterparts(links: Links) -> np.ndarray:
    """(K_a,) int: the concept of *b* that each concept of *a* has its strongest link to; −1 without a link."""
    strength = np.where(links.linked, links.strength, -np.inf)
    return np.where(links.linked.any(1), strength.argmax(1), -1)


def changes_before(
    links: Links, mass_a: np.ndarray, mass_b: np.ndarray, overlaps: np.ndarray, rules: Rules
) -> list[Change]:
    """What became of each concept of *a*; the first rule that holds decides.

    faded     it has no link, or all its links together have less than `rules.mass` of its mass
    split     it has two links or more that are at least `rules.part` as strong as its strongest
    merged    its counterpart has two links or more that are, and this one is among them
    refined   `overlaps` (K_a, K_b), the T-Overlap with its counterpart, is at least `rules.words`
    changed   its samples go on together, under other words
    """
    main, strong = counterparts(links), np.where(links.linked, links.strength, 0.0)
    parts = ((strong >= rules.part * strong.max(1, keepdims=True)) & links.linked).sum(1)
    source = (strong >= rules.part * strong.max(0, keepdims=True)) & links.linked

    def became(i: int, j: int) -> Change:
        if j < 0 or mass_b[links.linked[i]].sum() < rules.mass * mass_a[i]:
            return "faded"
        if parts[i] >= 2:
            return "split"
        if source[i, j] and source[:, j].sum() >= 2:
            return "merged"
        return "refined" if overlaps[i, j] >= rules.words else "changed"

    return [became(i, int(j)) for i, j in enumerate(main)]


def emerged(links: Links, mass_a: np.ndarray, mass_b: np.ndarray, rules: Rules) -> np.ndarray:
    """(K_b,) bool: concepts of *b* that no concept of *a* accounts for: without a link, or with more than
    1/`rules.mass` times the mass of all that are linked to them together."""
    before = np.where(links.linked, mass_a[:, None], 0.0).sum(0)
    return ~links.linked.any(0) | (mass_b > before / rules.mass)


@dataclass(frozen=True)
class WordChange:
    """The words of a concept before and after: those that stay, in the order of before, those lost, those gained."""

    kept: tuple[str, ...]
    lost: tuple[str, ...]
    gained: tuple[str, ...]


def word_change(before: list[str], after: list[str]) -> WordChange:
    """How the words changed.

    >>> word_change(["red", "blue"], ["blue", "sea"])
    WordChange(kept=('blue',), lost=('red',), gained=('sea',))
    """
    return WordChange(
        tuple(w for w in before if w in after),
        tuple(w for w in before if w not in after),
        tuple(w for w in after if w not in before),
    )
