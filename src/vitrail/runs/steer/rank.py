"""`vitrail steer rank`: fine vectors between the concepts of a study, the narrowest effect first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

from vitrail.concepts import Concepts
from vitrail.errors import UsageError
from vitrail.lmm import LMM, as_lmm
from vitrail.progress import Progress, shown
from vitrail.runs.steer.options import RankOptions
from vitrail.samples import Sample, as_samples
from vitrail.steering import Add, concept_direction
from vitrail.trials import rank_by_narrowness
from vitrail.trials.narrowness import Narrowness


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
    pairs = [
        (away, toward)
        for away, toward in permutations(range(len(concepts)), 2)
        if options.away in (None, away) and options.toward in (None, toward)
    ]
    if not pairs:
        raise UsageError(
            f"There are concepts 0 to {len(concepts) - 1}, and no vector from {options.away} to {options.toward}."
        )
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
