"""How narrow the effect of an intervention is: one change and no other, or many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from scipy.stats import binomtest

from vitrail.concepts import Concepts
from vitrail.errors import UsageError
from vitrail.lmm import LMM, as_lmm
from vitrail.progress import Progress, shown, silent
from vitrail.samples import Sample, as_samples
from vitrail.steering.apply import steer
from vitrail.steering.interventions import Add, Intervention
from vitrail.steering.methods.from_concepts import concept_direction
from vitrail.trials.options import RankOptions
from vitrail.trials.texts import say


@dataclass(frozen=True)
class Narrowness:
    """How narrow a change is.

    Args:
        share: of all `changes`, the share of the most frequent one, `most`; 0 without a change.
        low: the lower end of its 95 % interval (Wilson 1927): .21 of one change in one.
    """

    share: float
    low: float
    changes: int
    most: str


def narrowness_of(said: Sequence[str], before: Sequence[str]) -> Narrowness:
    """How narrow the change from the texts `before` to the texts `said` is.

    A change of a short answer is (what was said, what is said); of a caption, each word that was added or removed. A
    fine vector that turns "white" into "black" and nothing else has a share of 1.
    """
    changes: Counter[str] = Counter()
    for text, was in zip(said, before, strict=True):
        changes.update(_changes(text, was))
    if not changes:
        return Narrowness(0.0, 0.0, 0, "")
    most, n = min(changes.items(), key=lambda change: (-change[1], change[0]))
    total = changes.total()
    low = float(binomtest(n, total).proportion_ci(method="wilson").low)
    return Narrowness(n / total, low, total, most)


def _changes(text: str, was: str) -> list[str]:
    """The changes from `was` to `text`, by name."""
    if text == was:
        return []
    if len(text.split()) <= 2 and len(was.split()) <= 2:
        return [f"{was} → {text}"]
    new, old = set(text.split()), set(was.split())
    return [*(f"+{w}" for w in new - old), *(f"−{w}" for w in old - new)]


@dataclass(frozen=True)
class Ranked:
    """The intervention at `place` among those that were ranked, and how narrow its effect is."""

    place: int
    narrowness: Narrowness


def rank_by_narrowness(
    lmm: LMM,
    samples: Sequence[Sample],
    interventions: Sequence[Intervention],
    *,
    max_new_tokens: int = 8,
    batch_size: int = 32,
    progress: Progress = silent,
) -> list[Ranked]:
    """Interventions, such as fine vectors, from the narrowest effect to the widest, by `Narrowness.low`.

    One that changed a single text has shown little; one that changed nothing comes last.
    """
    before = say(lmm, samples, max_new_tokens=max_new_tokens, batch_size=batch_size)
    found = []
    for place, one in enumerate(interventions):
        with steer(lmm, one):
            said = say(lmm, samples, max_new_tokens=max_new_tokens, batch_size=batch_size)
        found.append(Ranked(place, narrowness_of(said, before)))
        progress("rank", len(found), len(interventions))
    return sorted(found, key=lambda f: -f.narrowness.low)


@dataclass(frozen=True)
class FineVector:
    """The vector from the concept `away` to the concept `toward`, and how narrow its effect is."""

    away: int
    toward: int
    narrowness: Narrowness


def rank_fine_vectors(
    lmm: LMM | str | Path,
    concepts: Concepts,
    samples: Sequence[Sample] | str | Path,
    options: RankOptions | None = None,
    *,
    progress: Progress | bool = True,
) -> list[FineVector]:
    """The vectors `u_toward − u_away` between concepts, from the narrowest effect to the widest.

    Each is added while the model speaks of the same samples. A narrow one makes one change and no other.

    Raises:
        UsageError: there is no such vector.
    """
    options = options or RankOptions()
    pairs = fine_pairs(concepts, options)
    tried = [
        Add({concepts.layer: concept_direction(concepts, toward, away)}, options.alpha, positions=options.positions)
        for away, toward in pairs
    ]
    with shown(progress) as tell:
        found = rank_by_narrowness(
            as_lmm(lmm),
            as_samples(samples, tell),
            tried,
            max_new_tokens=options.max_new_tokens,
            batch_size=options.batch_size,
            progress=tell,
        )
    return [FineVector(*pairs[r.place], r.narrowness) for r in found]


def fine_pairs(concepts: Concepts, options: RankOptions) -> list[tuple[int, int]]:
    """The pairs of concepts, `(away, toward)`, whose vectors are tried.

    Raises:
        UsageError: there is none.
    """
    pairs = [
        (away, toward)
        for away, toward in permutations(range(len(concepts)), 2)
        if options.away in (None, away) and options.toward in (None, toward)
    ]
    if not pairs:
        raise UsageError(
            f"There are concepts 0 to {len(concepts) - 1}, and no vector from {options.away} to {options.toward}."
        )
    return pairs
