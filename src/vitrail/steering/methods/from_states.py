"""Makes vectors: from states, concepts, shifts or plain tensors."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from vitrail.activations import Activations
from vitrail.artifacts import check_parent
from vitrail.concepts import Concepts
from vitrail.errors import UsageError
from vitrail.grounding import check_model
from vitrail.lmm import LMM, Layer
from vitrail.lmm.doctor import certificate
from vitrail.lmm.positions import Name
from vitrail.progress import Progress, silent
from vitrail.samples.examples import Example
from vitrail.steering import vectors
from vitrail.steering.artifact import Steering, about, describe, finished, write_steering
from vitrail.steering.interventions import Activation
from vitrail.steering.states import States, read_states

if TYPE_CHECKING:
    from vitrail.comparison import Comparison

FromStates = Literal["mean", "guarded", "probe", "pca", "random"]


def make_vector(
    lmm: LMM,
    toward: Sequence[Example],
    away: Sequence[Example],
    *,
    out: str | Path,
    method: FromStates = "mean",
    layers: Sequence[Layer] = (-1,),
    read_at: Name = "generated",
    saying: Collection[str] = (),
    saying_away: Collection[str] = (),
    others: Sequence[tuple[Sequence[Example], Collection[str]]] = (),
    applied_at: Name = "generated",
    batch_size: int = 32,
    seed: int = 0,
    progress: Progress = silent,
) -> Steering:
    """A vector per layer, from the states of `away` to those of `toward`, in the folder `out`.

    Args:
        method: "mean" the difference of means, "guarded" the same behind a guard, "probe" the normal of a linear
            classifier, "pca" the first component of the differences, "random" a random direction with the norm of
            "mean", for a baseline.
        read_at: which positions of an example's request and answer its state is the mean of.
        saying: of `toward`, only those that predict the beginning of one of these words; `saying_away` of `away`.
        others: examples that a guarded vector leaves alone, with the words that their states predict; all states
            without any. The guard is a probe, the normal of a linear classifier between the states of `away` and
            theirs; its threshold lies halfway between the medians of what the two activate.
        applied_at: where `steer` will add it, if not told otherwise.

    Raises:
        UsageError: a guard without others, or others without a guard.
        DataError: no examples, or none with a position that is meant.
        ArtifactError: `out` holds another steering.
    """
    if (method == "guarded") != bool(others):
        raise UsageError(f"Others to be left alone are for a guarded vector, which needs some; got {method!r}.")
    out, layers = Path(out), tuple(lmm.layer(layer) for layer in layers)
    details: dict[str, Any] = {
        "toward": about(toward),
        "away": about(away),
        "read_at": read_at,
        "saying": sorted(saying),
        "saying_away": sorted(saying_away),
        "seed": seed,
    }
    if others:
        details["others"] = [{**about(examples), "saying": sorted(said)} for examples, said in others]
    parameters = describe(lmm, method, layers, applied_at, details)
    if there := finished(out, parameters):
        return there
    doctor = certificate(lmm, [e.sample for e in away[:2]])
    start = time.perf_counter()

    def read(examples: Sequence[Example], said: Collection[str]) -> States:
        return read_states(
            lmm, examples, layers, positions=read_at, saying=said, batch_size=batch_size, progress=progress
        )

    to, off, rest = read(toward, saying), read(away, saying_away), [read(*other) for other in others]
    found = {f"layer.{layer}": _vector(method, to.by_layer[layer], off.by_layer[layer], seed) for layer in layers}
    for layer in layers if rest else ():
        found |= _guard(layer, off.by_layer[layer], torch.cat([r.by_layer[layer] for r in rest]))
    seconds = time.perf_counter() - start
    return write_steering(out, parameters, found, off.medians, seconds=seconds, doctor=doctor)


def _vector(method: FromStates, toward: Tensor, away: Tensor, seed: int) -> Tensor:
    if method == "probe":
        return vectors.probe_normal(toward, away)
    if method == "pca":
        return vectors.first_component(toward, away, seed)
    mean = vectors.difference(toward, away)
    return vectors.random_like(mean, seed) if method == "random" else mean


def _guard(layer: Layer, source: Tensor, others: Tensor) -> dict[str, Tensor]:
    """Where the vector of `layer` is added: at states like `source`, not at those like `others`."""
    guard = Activation(vectors.probe_normal(source, others))
    threshold = (guard.of(source).median() + guard.of(others).median()) / 2
    return {f"guard.{layer}": guard.u, f"threshold.{layer}": threshold}


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
    nothing, are taken as long as samples that have the concept have it on average, so that strength 1 puts in one
    example's worth.

    Raises:
        UsageError: there is no such concept.
        ArtifactError: the concepts were not made from these activations, or these not by this model.
    """
    check_model(lmm, activations)
    check_parent(concepts.folder, concepts.manifest, activations.folder, "activations")
    out, layer = Path(out), concepts.layer
    tensors = {f"layer.{layer}": concept_direction(concepts, toward, away)}
    parameters = describe(lmm, "concept", (layer,), applied_at, {"toward": toward, "away": away})
    parents = {"concepts": concepts.folder}
    if there := finished(out, parameters, parents):
        return there
    return write_steering(out, parameters, tensors, {layer: _median_norm(activations, layer)}, parents=parents)


def concept_direction(concepts: Concepts, toward: int, away: int | None = None) -> Tensor:
    """(features,): the direction of the concept `toward`, or from the concept `away` to it; see `concept_vector`.

    Raises:
        UsageError: there is no such concept.
    """
    for k in (toward, *([] if away is None else [away])):
        _check_concept(k, len(concepts))
    vector = _prototype(concepts, toward) - (0.0 if away is None else _prototype(concepts, away))
    return torch.from_numpy(np.asarray(vector, np.float32))


def _median_norm(activations: Activations, layer: Layer) -> float:
    return float(np.median(np.linalg.norm(activations.states(layer), axis=1)))


def _check_concept(k: int, n: int) -> None:
    if not 0 <= k < n:
        raise UsageError(f"There are concepts 0 to {n - 1}; got {k}.")


def _prototype(concepts: Concepts, k: int) -> np.ndarray:
    scale = 1.0 if concepts.parameters["method"] in ("kmeans", "simple") else _mean_activation(concepts, k)
    return concepts.U[k] * scale


def _mean_activation(concepts: Concepts, k: int) -> float:
    """Of concept `k`, over the samples that have it."""
    active = concepts.V[:, k][concepts.V[:, k] != 0]
    return float(np.abs(active).mean()) if len(active) else 0.0


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
    """`Δ_k`: how the samples of concept `concept` moved from one model to the other, to be added to the first.

    `activations` and `concepts` are those of the first model. A mean move (prototypes) is taken as published; the shift
    of an atom (Semi-NMF, PCA) is per unit of its activation, and is taken times the mean activation of the samples that
    have it.

    Raises:
        UsageError: there is no such concept.
        ArtifactError: the concepts were not made from these activations, these not by this model, or the shift not
            from these concepts.
    """
    check_model(lmm, activations)
    check_parent(concepts.folder, concepts.manifest, activations.folder, "activations")
    check_parent(shift.folder, shift.manifest, concepts.folder, "a")
    _check_concept(concept, len(shift))
    out, layer = Path(out), concepts.layer
    parameters = describe(lmm, "shift", (layer,), applied_at, {"toward": concept})
    parents = {"shift": shift.folder}
    if there := finished(out, parameters, parents):
        return there
    scale = 1.0 if shift.parameters["estimate"] == "mean" else _mean_activation(concepts, concept)
    vector = torch.from_numpy(np.asarray(scale * shift.shifts[concept], np.float32))
    tensors, medians = {f"layer.{layer}": vector}, {layer: _median_norm(activations, layer)}
    return write_steering(out, parameters, tensors, medians, parents=parents)


def tensor_vector(
    lmm: LMM, directions: Mapping[Layer, Tensor], medians: Mapping[Layer, float], *, out: str | Path,
    applied_at: Name = "generated", source: str = "",
) -> Steering:  # fmt: skip
    """Vectors that somebody else made, layer → (features,), as a steering of `lmm`.

    Args:
        medians: layer → the norm that is the unit of norms there; see `States.medians`.
        source: where they come from, for the manifest.

    Raises:
        UsageError: a vector of another width.
        ArtifactError: `out` holds another steering.
    """
    own = {lmm.layer(layer): torch.as_tensor(v) for layer, v in directions.items()}
    for layer, v in own.items():
        if v.shape != (lmm.n_features,) or not torch.isfinite(v.float()).all():
            raise UsageError(f"Expected {lmm.n_features} finite numbers for layer {layer}; got {tuple(v.shape)}.")
    content = hashlib.sha256(b"".join(v.float().cpu().numpy().tobytes() for v in own.values())).hexdigest()
    parameters = describe(lmm, "tensor", tuple(own), applied_at, {"source": source, "sha256": content})
    if there := finished(Path(out), parameters):
        return there
    units = {lmm.layer(layer): value for layer, value in medians.items()}
    return write_steering(Path(out), parameters, {f"layer.{layer}": v for layer, v in own.items()}, units)
