"""How concepts are learned: one value, kept in the manifest and passed whole to learn in the same way again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from vitrail import learners
from vitrail.errors import UsageError
from vitrail.learners.form import Form
from vitrail.lmm.options import Layer
from vitrail.options import AtLeast, CountOrAuto, CountOrNone, NameIn, Options, Seed, Within

#: λ. Long before the bound no concept is active; its square, still, is a number of float32.
Penalty = Annotated[float, AtLeast(0), Within(1e9)]


@dataclass(frozen=True)
class LearningOptions(Options):
    """How concepts are learned.

    Args:
        layer: which of the extracted layers; may be None when there is one.
        method: how they are learned, by its name in `vitrail.learners.LEARNERS`.
        n_concepts: number of concepts, K; `auto`: K, and λ where it is not given, are chosen among several by how well
            single concepts tell words of captions, by explained variance and stability (see `concepts.choosing`).
        penalty: λ of Semi-NMF's sparsity: a share of the states' spread, or in the paper's form in the units of the
            states; the method's own by default.
        seed: of everything random.
        stability: number of runs with other seeds, and as many from resamples, that measure how well each concept
            comes back (see `concepts.stability`); from a sample of the states where they are many. 0 for none.
        consensus: whether the concepts are the mean over the run and those with other seeds.
        form: `centred`: the mean of the states is a row of its own, λ is a share of their spread, and the strongest
            concept of a sample is that of the largest activation relative to its root mean square; `paper`: as in
            CoX-LMM, with the activations themselves. Methods whose concepts are states (k-means, simple) have no other.
        named: concepts that are named, before the K that are found in what these leave: words of the captions (other
            forms after a slash, `umbrella/parasol`), or `captions` for all English words that the states tell with an
            AUROC of .8 or more (`captions:de`: German ones). Semi-NMF alone.
    """

    layer: Layer | None = None
    method: Annotated[str, NameIn("vitrail.learners.registry:LEARNERS")] = "semi-nmf"
    n_concepts: CountOrAuto = 20
    penalty: Penalty | None = None
    seed: Seed = 0
    stability: CountOrNone = 4
    consensus: bool = False
    form: Form = "centred"
    named: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "named", tuple(self.named))
        super().__post_init__()

    @classmethod
    def from_manifest(cls, parameters: Mapping[str, Any]) -> LearningOptions:
        """The options in the parameters of a manifest; without a form it is of a version that had the paper's alone."""
        return cls(**{"form": "paper", **{k: v for k, v in parameters.items() if k not in ("labels", "shared")}})

    def parameters(self) -> dict[str, Any]:
        """What a manifest keeps of them."""
        values = asdict(self)
        if self.form == "paper":  # as it was written when there was no other
            del values["form"]
        if not self.named:
            del values["named"]
        return values

    @property
    def n_samples(self) -> int:
        """The fewest samples that concepts can be learned from: one for each."""
        return 1 if self.n_concepts == "auto" else self.n_concepts

    @property
    def standardised(self) -> bool:
        """Whether activations are compared relative to their root mean square; see `form`."""
        return self.form != "paper" and not learners.learner_class(self.method).prototypes

    def learner(self) -> learners.Learner:
        """An unfitted learner; of one concept where their number is not chosen yet.

        Raises:
            UsageError: no such method, or options that do not go together.
        """
        made = learners.make_learner(self.method, self.n_samples, penalty=self.penalty, seed=self.seed, form=self.form)
        if self.named and self.method != "semi-nmf":
            raise UsageError(f"{made.title} has no named concepts; Semi-NMF has.")
        if self.consensus and not made.out_of_core:
            raise UsageError(f"{made.title} has no consensus. These have: {with_pieces()}.")
        if self.consensus and self.stability == 0:
            raise UsageError("A consensus needs other runs to agree with: ask for stability=1 or more.")
        return made


def with_pieces() -> str:
    """The methods that learn from states in pieces, by name."""
    return ", ".join(repr(name) for name, learner in learners.LEARNERS.items() if learner.out_of_core)
