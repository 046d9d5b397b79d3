"""Which controls a study is evaluated with, and which methods are compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from vitrail import learners
from vitrail.activations.options import ExtractionOptions
from vitrail.concepts.options import LearningOptions
from vitrail.errors import UsageError
from vitrail.lmm.options import Layer
from vitrail.maps.options import MapOptions
from vitrail.options import Count, CountOrNone, NameIn, Options, Seed

#: How the captions of a sample give one BERTScore: their mean (CoX-LMM), or the best of them (BERTScore's authors).
OverCaptions = Literal["mean", "best"]


@dataclass(frozen=True)
class EvaluationOptions(Options):
    """Which controls a study is evaluated with.

    Args:
        noise: also learn the dictionary of noise images.
        n_random: lists of random words; the p-value of a concept is at least 1 / (1 + n_random).
        n_ablated: images per concept for the ablation; 0 for no ablation.
        n_mapped: held-out images on which maps are judged, with some two hundred passes of each; 0 for none.
        mapping: how the maps that are judged are made.
        seed: of everything random.
        over_captions: BERTScore of a sample is the mean over its captions, as in CoX-LMM, or the best of them.
    """

    noise: bool = True
    n_random: Count = 200
    n_ablated: CountOrNone = 0
    n_mapped: CountOrNone = 0
    mapping: MapOptions = field(default_factory=MapOptions)
    seed: Seed = 0
    over_captions: OverCaptions = "mean"

    def parameters(self) -> dict[str, Any]:
        """What a manifest keeps of them; of maps only where they are judged."""
        values = asdict(self)
        return values if self.n_mapped else {k: v for k, v in values.items() if k not in ("n_mapped", "mapping")}


@dataclass(frozen=True)
class MethodOptions(Options):
    """Which methods are compared, and how.

    Args:
        methods: how concepts are learned, by names in `vitrail.learners.LEARNERS`; all of them by default.
        layer: the layer of the tables.
        layers: layers of the curve by layer; no curve without any.
        n_concepts: the first is the number of concepts in the tables; with several there is a curve over them.
        extraction: how states are extracted; its layers are replaced by those above.
        evaluation: how each method is evaluated; its seed is also that of the learners.
    """

    methods: tuple[Annotated[str, NameIn("vitrail.learners.registry:LEARNERS")], ...] = ()
    layer: Layer = -1
    layers: tuple[Layer, ...] = ()
    n_concepts: tuple[Count, ...] = (20,)
    extraction: ExtractionOptions = field(default_factory=ExtractionOptions)
    evaluation: EvaluationOptions = field(default_factory=EvaluationOptions)

    def __post_init__(self) -> None:
        for name in ("methods", "layers", "n_concepts"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        super().__post_init__()
        if not self.methods:
            object.__setattr__(self, "methods", tuple(reversed(learners.LEARNERS)))
        unknown = [m for m in self.methods if m not in learners.LEARNERS]
        if unknown or not self.n_concepts:
            raise UsageError(
                f"Expected numbers of concepts, and methods among {', '.join(learners.LEARNERS)}; "
                f"got concepts {list(self.n_concepts)} and methods {list(self.methods)}."
            )

    @property
    def main(self) -> str:
        """The method that has curves: the default of `learn` if it takes part, or else the last one."""
        default = LearningOptions().method
        return default if default in self.methods else self.methods[-1]

    def learning(self, method: str) -> LearningOptions:
        """How the concepts of the tables are learned by `method`."""
        return LearningOptions(self.layer, method, self.n_concepts[0], seed=self.evaluation.seed)
