"""How two studies are compared: one value, kept in the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vitrail.comparison.changes import ChangeRules
from vitrail.comparison.matching import Matching, check_matching
from vitrail.comparison.shift_vectors import ShiftEstimator, check_estimator
from vitrail.errors import UsageError


@dataclass(frozen=True)
class ComparisonOptions:
    """How two studies are compared.

    Args:
        matching: which concept of *b* is the match of a concept of *a*; "one-to-one" or "argmax", see `match`.
        estimator: of the shifts; "mean" for prototypes (k-means, Simple) and "codes" for dictionaries, for None.
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
    alpha: float = 1.0
    n_words: int = 10
    n_images: int = 20
    rules: ChangeRules = field(default_factory=ChangeRules)
    draws: int = 50
    resamples: int = 200
    seed: int = 0
    n_whole: int = 200
    checkpoints: Path | None = None
    device: str | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        check_matching(self.matching)
        if self.estimator is not None:
            check_estimator(self.estimator)
        if min(self.n_words, self.n_images, self.draws) < 1 or min(self.resamples, self.n_whole) < 0:
            raise UsageError("n_words, n_images and draws must be at least 1, resamples and n_whole at least 0.")

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
