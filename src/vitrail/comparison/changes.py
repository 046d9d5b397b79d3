"""What became of each concept: refined, changed, split, merged, faded, or emerged. Pure functions.

The papers name these changes and publish no thresholds. Our rules look at the samples first (which concepts of *b* are
active on the samples of a concept of *a*, more than by chance: `matching.links`), then at activation mass, then at
words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int

from vitrail.comparison.matching import Links
from vitrail.comparison.options import ChangeRules
from vitrail.comparison.shift_vectors import n_members

Change = Literal["refined", "changed", "split", "merged", "faded", "emerged"]


def activation_mass(V: Float[np.ndarray, "n k"], *, exclusive: bool) -> Float[np.ndarray, " k"]:
    """Each concept's share of the activation of all concepts, `Σ_m |v_mk| / Σ_mk |v_mk|`; where a sample counts for its
    strongest concept alone (`exclusive`), each concept's share of the samples."""
    if exclusive:
        return n_members(V) / max(len(V), 1)
    total = np.abs(V).sum(0, dtype=np.float64)
    return total / max(total.sum(), np.finfo(float).tiny)


def counterparts(links: Links) -> Int[np.ndarray, " k_a"]:
    """The concept of *b* to which each concept of *a* has its strongest link; −1 without a link."""
    strength = np.where(links.linked, links.strength, -np.inf)
    return np.where(links.linked.any(1), strength.argmax(1), -1)


def classify_changes(
    links: Links,
    mass_a: Float[np.ndarray, " k_a"],
    mass_b: Float[np.ndarray, " k_b"],
    overlaps: Float[np.ndarray, "k_a k_b"],
    rules: ChangeRules,
) -> list[Change]:
    """What became of each concept of *a*; the first rule that holds decides.

    faded     it has no link, or all its links together have less than `rules.mass` of its mass
    split     it has two links or more that are at least `rules.part` as strong as its strongest
    merged    its counterpart has two links or more that are, and this one is among them
    refined   `overlaps`, the T-Overlap with its counterpart, is at least `rules.words`
    changed   its samples stay together, under other words
    """
    main, strong = counterparts(links), np.where(links.linked, links.strength, 0.0)
    parts = ((strong >= rules.part * strong.max(1, keepdims=True)) & links.linked).sum(1)
    sources = (strong >= rules.part * strong.max(0, keepdims=True)) & links.linked

    def became(i: int, j: int) -> Change:
        if j < 0 or mass_b[links.linked[i]].sum() < rules.mass * mass_a[i]:
            return "faded"
        if parts[i] >= 2:
            return "split"
        if sources[i, j] and sources[:, j].sum() >= 2:
            return "merged"
        return "refined" if overlaps[i, j] >= rules.words else "changed"

    return [became(i, int(j)) for i, j in enumerate(main)]


def has_emerged(
    links: Links, mass_a: Float[np.ndarray, " k_a"], mass_b: Float[np.ndarray, " k_b"], rules: ChangeRules
) -> Bool[np.ndarray, " k_b"]:
    """Whether each concept of *b* is new: it has no link, or more than 1/`rules.mass` times the mass of all concepts of
    *a* that are linked to it together."""
    before = np.where(links.linked, mass_a[:, None], 0.0).sum(0)
    return ~links.linked.any(0) | (mass_b > before / rules.mass)


@dataclass(frozen=True)
class WordChange:
    """The words that a concept kept (in the order of before), lost and gained."""

    kept: tuple[str, ...]
    lost: tuple[str, ...]
    gained: tuple[str, ...]


def word_change(before: Sequence[str], after: Sequence[str]) -> WordChange:
    """How the words changed.

    >>> word_change(["red", "blue"], ["blue", "sea"])
    WordChange(kept=('blue',), lost=('red',), gained=('sea',))
    """
    return WordChange(
        tuple(w for w in before if w in after),
        tuple(w for w in before if w not in after),
        tuple(w for w in after if w not in before),
    )
