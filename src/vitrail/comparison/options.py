"""How two studies are compared: one value, kept in the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from vitrail.errors import UsageError
from vitrail.options import Count, CountOrNone, Options, Seed, Within

#: Which concept of the model after a concept before is compared with.
Matching = Literal["one-to-one", "argmax"]
#: How the moves of a concept's samples become one shift.
ShiftEstimator = Literal["mean", "median", "trimmed", "codes"]


@dataclass(frozen=True)
class ChangeRules(Options):
    """The thresholds that decide what became of a concept.

    Args:
        words: T-Overlap with the counterpart, in percent, from which a concept is refined and not changed.
        strength: smallest correlation of activations over the samples that makes a link.
        part: share of a concept's strongest link that another link needs for both to count as its parts.
        mass: a concept faded when all its links together have less than this share of its activation mass; one of *b*
            emerged when it has more than 1/`mass` times the mass of all its links together.
        level: significance level of the links' test against chance.
        permutations: number of permutations in that test.
    """

    words: float = 50.0
    strength: float = 0.25
    part: float = 0.7
    mass: float = 0.5
    level: float = 0.05
    permutations: int = 500


@dataclass(frozen=True)
class ComparisonOptions(Options):
    """How two studies are compared.

    Args:
        matching: which concept of *b* is the match of a concept of *a*; "one-to-one" or "argmax", see `match`.
        estimator: of the shifts; "mean" for prototypes (k-means, Simple) and "codes" for dictionaries, for None. Only
            "codes" is taken for dictionaries; see `of_concepts`.
        alpha: how much of the shift is added.
        n_words: words of a concept.
        n_images: most activating samples of a concept, when images are compared.
        rules: what decides what became of a concept.
        draws: random directions of the control.
        resamples: of the samples, for the intervals of T-Overlaps; 0 for none.
        seed: of everything random.
        n_whole: images on which the whole models are compared, where samples are given; 0 for none.
        checkpoints: the folder of a fine-tune whose checkpoints are compared, too.
        device: where models with these checkpoints are loaded, as in `load`.
        trust_remote_code: whether code that comes with the model may run when they are loaded.
    """

    matching: Matching = "one-to-one"
    estimator: ShiftEstimator | None = None
    alpha: Annotated[float, Within(1e6)] = 1.0
    n_words: Count = 10
    n_images: Count = 20
    rules: ChangeRules = field(default_factory=ChangeRules)
    draws: Count = 50
    resamples: CountOrNone = 200
    seed: Seed = 0
    n_whole: CountOrNone = 200
    checkpoints: Path | None = None
    device: str | None = None
    trust_remote_code: bool = False

    def of_concepts(self, *, prototypes: bool) -> ComparisonOptions:
        """The options with the estimator of shifts that fits the concepts, if none was chosen.

        Raises:
            UsageError: moves of states shall be averaged for atoms, which are no states.
        """
        if self.estimator is None:
            return replace(self, estimator="mean" if prototypes else "codes")
        if not prototypes and self.estimator != "codes":
            raise UsageError(
                f"The shift of an atom cannot be the {self.estimator} move of its samples: atoms have norm 1, moves "
                "are as long as states, so the atom would be lost. Leave the estimator out, or choose `codes`; or "
                "compare studies of prototypes (k-means)."
            )
        return self

    def parameters(self) -> dict[str, Any]:
        """The options as a manifest keeps them, without those of the whole models and checkpoints."""
        names = ("matching", "alpha", "n_words", "n_images", "draws", "resamples", "seed")
        return {name: getattr(self, name) for name in names} | {
            "estimate": self.estimator,
            "rules": asdict(self.rules),
        }

    @classmethod
    def from_manifest(cls, parameters: Mapping[str, Any]) -> ComparisonOptions:
        """The options in the parameters of a comparison's manifest. It does not say where checkpoints were."""
        known = {name: value for name, value in parameters.items() if name in cls.__dataclass_fields__}
        known["rules"] = ChangeRules(**parameters["rules"])
        return cls(**known, estimator=parameters["estimate"], n_whole=parameters["whole"] or 0)
