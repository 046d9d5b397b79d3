"""Vectors from the concepts of a study: a concept's direction, the difference of two, and a concept's shift."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitrail.activations import Activations
from vitrail.artifacts import check_parent
from vitrail.comparison import Comparison
from vitrail.concepts import Concepts
from vitrail.errors import UsageError
from vitrail.grounding import check_model
from vitrail.learners import learner_class
from vitrail.lmm import LMM, Layer
from vitrail.lmm.positions import Name
from vitrail.steering.artifact import (
    Content,
    Steering,
    SteeringMethod,
    finished,
    parameters_of,
    refuse_zero,
    write_steering,
)
from vitrail.steering.methods.from_states import add_vectors

CONCEPT = SteeringMethod("concept", "direction of a concept", add_vectors)
SHIFT = SteeringMethod("shift", "shift of a concept from one model to another", add_vectors)


def concept_vector(
    lmm: LMM,
    activations: Activations,
    concepts: Concepts,
    toward: int,
    away: int | None = None,
    *,
    out: str | Path,
    applied_at: Name = "generated",
) -> Steering:
    """The direction of the concept `toward`, or the fine vector `u_toward − u_away` (Khayatan et al. 2025).

    Prototypes (k-means, simple) are taken as they are, as published. Directions (Semi-NMF, PCA), whose own length means
    nothing, are multiplied by the mean activation of the samples that have the concept: strength 1 adds as much of the
    concept as one example has.

    Raises:
        UsageError: there is no such concept, or the vector is zero.
        ArtifactError: the concepts were not made from these activations, these not by this model, or `out` holds
            another steering.
    """
    check_model(lmm, activations)
    check_parent(concepts.folder, concepts.manifest, activations.folder, "activations")
    out, layer = Path(out), concepts.layer
    vector = concept_direction(concepts, toward, away)
    parameters = parameters_of(CONCEPT, lmm, (layer,), applied_at, {"toward": toward, "away": away})
    parents = {"concepts": concepts.folder}
    if there := finished(out, CONCEPT, parameters, parents):
        return there
    medians = {layer: median_norm(activations, layer)}
    refuse_zero({layer: vector}, medians, "no sample has the concept, or both concepts are one. Choose others.")
    return write_steering(out, CONCEPT, parameters, Content({f"layer.{layer}": vector}, medians, parents))


def concept_direction(concepts: Concepts, toward: int, away: int | None = None) -> Float[Tensor, " d"]:
    """The direction of the concept `toward`, or from the concept `away` to it; see `concept_vector`.

    Raises:
        UsageError: there is no such concept.
    """
    for k in (toward, *([] if away is None else [away])):
        _check_concept(k, len(concepts))
    vector = _direction(concepts, toward) - (0.0 if away is None else _direction(concepts, away))
    return torch.from_numpy(np.asarray(vector, np.float32))


def shift_vector(
    lmm: LMM,
    activations: Activations,
    concepts: Concepts,
    shift: Comparison,
    concept: int,
    *,
    out: str | Path,
    applied_at: Name = "generated",
) -> Steering:
    """`Δ_k`: how the samples of the concept `concept` moved from one model to the other, to be added to the first.

    A mean move (prototypes) is taken as published. The shift of an atom (Semi-NMF, PCA) is per unit of its activation;
    it is multiplied by the mean activation of the samples that have the concept.

    Args:
        activations: of the first model, as are `concepts`.
        shift: the comparison of the two models.

    Raises:
        UsageError: there is no such concept, or the vector is zero.
        ArtifactError: the concepts were not made from these activations, these not by this model, the comparison not
            from these concepts, or `out` holds another steering.
    """
    check_model(lmm, activations)
    check_parent(concepts.folder, concepts.manifest, activations.folder, "activations")
    check_parent(shift.folder, shift.manifest, concepts.folder, "a")
    _check_concept(concept, len(shift))
    out, layer = Path(out), concepts.layer
    parameters = parameters_of(SHIFT, lmm, (layer,), applied_at, {"toward": concept})
    parents = {"shift": shift.folder}
    if there := finished(out, SHIFT, parameters, parents):
        return there
    scale = _mean_activation(concepts, concept) if shift.estimator == "codes" else 1.0
    vector = torch.from_numpy(np.asarray(scale * shift.shifts[concept], np.float32))
    medians = {layer: median_norm(activations, layer)}
    refuse_zero({layer: vector}, medians, "the concept did not move, or no sample has it. Choose another.")
    return write_steering(out, SHIFT, parameters, Content({f"layer.{layer}": vector}, medians, parents))


def median_norm(activations: Activations, layer: Layer) -> float:
    """The median norm of the states of a layer: the unit of `Steering.norms`."""
    return float(np.median(np.linalg.norm(activations.states(layer), axis=1)))


def _check_concept(k: int, n: int) -> None:
    if not 0 <= k < n:
        raise UsageError(f"There are concepts 0 to {n - 1}; got {k}.")


def _direction(concepts: Concepts, k: int) -> Float[np.ndarray, " d"]:
    prototypes = learner_class(concepts.options.method).prototypes
    return concepts.U[k] * (1.0 if prototypes else _mean_activation(concepts, k))


def _mean_activation(concepts: Concepts, k: int) -> float:
    """The mean size of the activation of concept `k` over the samples that have it."""
    active = concepts.V[:, k][concepts.V[:, k] != 0]
    return float(np.abs(active).mean()) if len(active) else 0.0
