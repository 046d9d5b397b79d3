"""How concepts are learned: one value, kept in the manifest and passed whole to learn in the same way again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from vitrail import learners
from vitrail.errors import UsageError
from vitrail.lmm.options import Layer
from vitrail.options import AtLeast, Count, CountOrNone, NameIn, Options

#: Where concepts are learned: in this process, or on the machines of a Ray cluster.
Engine = Literal["local", "ray"]


@dataclass(frozen=True)
class LearningOptions(Options):
    """How concepts are learned.

    Args:
        layer: which of the extracted layers; may be None when there is one.
        method: how they are learned, by its name in `vitrail.learners.LEARNERS`.
        n_concepts: number of concepts, K.
        penalty: λ of the Semi-NMF objective `‖Z − V U‖² + λ‖V‖₁`; the method's own by default.
        seed: of everything random.
        stability: number of runs with other seeds, and as many from resamples, that measure how well each concept
            comes back (see `concepts.stability`); from a sample of the states where they are many. 0 for none.
        consensus: whether the concepts are the mean over the run and those with other seeds.
    """

    layer: Layer | None = None
    method: Annotated[str, NameIn("vitrail.learners.registry:LEARNERS")] = "semi-nmf"
    n_concepts: Count = 20
    penalty: Annotated[float, AtLeast(0)] | None = None
    seed: int = 0
    stability: CountOrNone = 4
    consensus: bool = False

    def learner(self) -> learners.Learner:
        """An unfitted learner.

        Raises:
            UsageError: no such method, or options that do not go together.
        """
        made = learners.make_learner(self.method, self.n_concepts, penalty=self.penalty, seed=self.seed)
        if self.consensus and not made.out_of_core:
            raise UsageError(f"{made.title} has no consensus; {with_pieces()} has.")
        if self.consensus and self.stability == 0:
            raise UsageError("A consensus needs other runs to agree with: ask for stability=1 or more.")
        return made


def with_pieces() -> str:
    """The methods that learn from states in pieces, by name."""
    return ", ".join(repr(name) for name, learner in learners.LEARNERS.items() if learner.out_of_core)
