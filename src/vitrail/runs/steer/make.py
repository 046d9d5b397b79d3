"""`vitrail steer make`, from a study or from a file. From a task: `vitrail.steering.make_steering`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from vitrail.activations import Activations
from vitrail.comparison import open_comparison
from vitrail.concepts import Concepts
from vitrail.errors import UsageError
from vitrail.lmm import LMM, Layer
from vitrail.lmm.positions import Name
from vitrail.samples import Sample
from vitrail.samples.examples import Example
from vitrail.steering import Steering, concept_vector, example_states, shift_vector, tensor_vector

#: The unit of imported vectors comes from the states of so many samples.
MAX_SAMPLES = 64


@dataclass(frozen=True)
class ConceptChoice:
    """Which vector of a study's concepts.

    Args:
        toward: the concept that it goes towards.
        away: the concept that it comes from; None for the direction of `toward` alone.
        shift: the folder of a comparison; the vector is then the shift of `toward`.
    """

    toward: int
    away: int | None = None
    shift: str | Path | None = None


def steering_from_concepts(
    lmm: LMM,
    activations: Activations,
    concepts: Concepts,
    choice: ConceptChoice,
    *,
    out: str | Path,
    applied_at: Name = "generated",
) -> Steering:
    """A concept's direction, the vector from one concept to another, or a concept's shift, in the folder `out`.

    Raises:
        UsageError: there is no such concept, or a shift that should come from another concept.
        ArtifactError: the artifacts do not belong together, or `out` holds another steering.
    """
    if choice.shift is None:
        return concept_vector(lmm, activations, concepts, choice.toward, choice.away, out=out, applied_at=applied_at)
    if choice.away is not None:
        raise UsageError(
            "A concept's shift goes from the concept before to the one after: --from has no meaning there."
        )
    comparison = open_comparison(choice.shift)
    return shift_vector(lmm, activations, concepts, comparison, choice.toward, out=out, applied_at=applied_at)


def steering_from_vectors(
    lmm: LMM,
    vectors: Mapping[Layer, Float[Tensor, " d"]],
    samples: Sequence[Sample],
    *,
    out: str | Path,
    source: str = "",
    applied_at: Name = "generated",
) -> Steering:
    """The vectors of a file, as `import_vectors` reads them, as a steering, in the folder `out`.

    Args:
        vectors: layer → vector (d,).
        samples: the median norm of their states is the unit of the vectors' norms; the first 64 are read.
        source: the name of the file, for the manifest.

    Raises:
        UsageError: vectors of another width.
        DataError: no sample has a caption or an answer.
        ArtifactError: `out` holds another steering.
    """
    examples = [Example(s, text) for s in samples[:MAX_SAMPLES] for text in (*s.references, *s.answers)[:1]]
    medians = example_states(lmm, examples, list(vectors), positions=applied_at).medians
    return tensor_vector(lmm, vectors, medians, out=out, applied_at=applied_at, source=source)
