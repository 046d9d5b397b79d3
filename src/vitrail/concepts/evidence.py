"""Evidence: how far the concepts behind a word speak for what it names being in the picture."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from vitrail.artifacts import check_parent, parent, read_finished, read_json, write_json, write_manifest
from vitrail.concepts.learning import Concepts
from vitrail.scores import Estimate

KIND = "evidence"
FILE = "evidence.json"


@dataclass(frozen=True)
class Evidence:
    """A logistic score of a word's concepts and novelty, fitted to answers of which the truth was known.

    Args:
        word: of the study.
        centre: (K + 1), of the strengths and the logarithm of the novelty.
        scale: (K + 1).
        weights: (K + 1), of what is centred and scaled.
        bias: of the score.
        n: how many answers it was fitted to.
        auroc: how well it tells words that are true from those that are not, on as many other answers.
        novelty: how well the novelty alone tells them.
    """

    word: str
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float
    n: int
    auroc: Estimate
    novelty: Estimate

    def __call__(self, strengths: Float[np.ndarray, "n k"], errors: Float[np.ndarray, " n"]) -> np.ndarray:
        """(n,), the probability that the word is true, where true and untrue answers are equally frequent.

        Args:
            strengths: see `Concepts.strengths`.
            errors: the squared distance to what the concepts make of a state, in multiples of the spread.
        """
        score = (features(strengths, errors) - self.centre) / self.scale @ np.array(self.weights) + self.bias
        return 1 / (1 + np.exp(-np.clip(score, -30, 30)))


def features(strengths: Float[np.ndarray, "n k"], errors: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n f"]:
    """What the score is made of: the strengths of the concepts, and the logarithm of the novelty."""
    return np.column_stack([np.asarray(strengths, float), np.log(np.maximum(errors, 1e-6))])


def save_evidence(evidence: Evidence, concepts: Concepts, out: str | Path) -> None:
    """Writes `evidence` of `concepts` to the folder `out`."""
    out = Path(out)
    write_json(out / FILE, asdict(evidence))
    write_manifest(out, KIND, {"parameters": {}, "parents": {"concepts": parent(concepts.folder)}}, [FILE])


def open_evidence(folder: str | Path, concepts: Concepts) -> Evidence:
    """The evidence in `folder`, which was fitted to `concepts`.

    Raises:
        ArtifactError: missing, damaged, or of other concepts.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "vitrail monitor evidence")
    check_parent(folder, manifest, concepts.folder, "concepts")
    return read_json(folder / FILE, Evidence, "run `vitrail monitor evidence`")
