"""What a sweep tries, and how it measures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from vitrail.concepts.options import Penalty
from vitrail.errors import UsageError
from vitrail.learners.form import Form
from vitrail.lmm.options import Layer
from vitrail.options import Count, CountOrNone, NameIn, Options, Seed


@dataclass(frozen=True)
class SweepOptions(Options):
    """What a sweep tries, and how it measures.

    Args:
        layer: which of the extracted layers; may be None when there is one.
        method: how they are learned, by its name in `vitrail.learners.LEARNERS`.
        n_concepts: numbers of concepts K.
        penalties: values of λ, for a method that has one; by default 0.005, 0.02 and 0.1, or in the paper's form
            0.02, 0.1 and 0.5 of the states' median norm.
        seed: of everything random.
        n_runs: number of runs with other seeds, and as many from resamples, that measure the stability.
        n_words: words per concept, to measure how concepts share words.
        language: of the words, as in `GroundingOptions`.
        form: `centred` or `paper`, as in `LearningOptions`.
    """

    layer: Layer | None = None
    method: Annotated[str, NameIn("vitrail.learners.registry:LEARNERS")] = "semi-nmf"
    n_concepts: tuple[Count, ...] = (5, 10, 20, 40)
    penalties: tuple[Penalty, ...] | None = None
    seed: Seed = 0
    n_runs: CountOrNone = 3
    n_words: Count = 10
    language: str = "en"
    form: Form = "centred"

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_concepts", tuple(self.n_concepts))
        object.__setattr__(self, "penalties", None if self.penalties is None else tuple(self.penalties))
        super().__post_init__()
        if not self.n_concepts or self.penalties == ():
            raise UsageError("Nothing to try: name at least one number of concepts and one penalty.")
