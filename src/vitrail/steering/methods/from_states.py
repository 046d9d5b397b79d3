"""Vectors from two sets of states: mean, guarded, probe, pca, random."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.lmm import LMM, Layer
from vitrail.lmm.doctor import certificate
from vitrail.progress import Progress, silent
from vitrail.steering import vectors
from vitrail.steering.artifact import (
    Assignment,
    Content,
    Steering,
    SteeringMethod,
    finished,
    parameters_of,
    refuse_zero,
    write_steering,
)
from vitrail.steering.contrast import Contrast, ExampleSet, described
from vitrail.steering.interventions import Activation, Add, Intervention, When
from vitrail.steering.options import Application, SteeringOptions
from vitrail.steering.states import States, example_states


def add_vectors(steering: Steering, application: Application) -> Add:
    """Adds the vectors of a steering to the states of their layers."""
    where = steering.positions(application)
    return Add(steering.directions, application.alpha, keep_norm=application.keep_norm, positions=where)


def add_behind_guard(steering: Steering, application: Application) -> Intervention:
    """Adds the vector of a guarded steering where its guard fires.

    Raises:
        UsageError: it has vectors of several layers; a guard belongs to one.
    """
    if len(steering.layers) != 1:
        raise UsageError(
            f"A guarded vector is applied at one layer at a time; {steering.folder} has layers "
            f"{', '.join(map(str, steering.layers))}. Choose one with `only` or --layer."
        )
    (layer,) = steering.layers
    guard, threshold = Activation(steering.tensors[f"guard.{layer}"]), float(steering.tensors[f"threshold.{layer}"])
    return When(guard, threshold, add_vectors(steering, application))


def make_from_task(method: SteeringMethod, assignment: Assignment) -> Steering:
    """Vectors between the examples of a task that are not as wanted and those that are."""
    contrast, options = assignment.contrast(method.guarded), assignment.options
    return make_vectors(
        assignment.lmm, contrast, options, method=method, out=assignment.out, progress=assignment.progress
    )


def _mean(toward: Float[Tensor, "n d"], away: Float[Tensor, "m d"], seed: int) -> Float[Tensor, " d"]:
    return vectors.difference(toward, away)


def _probe(toward: Float[Tensor, "n d"], away: Float[Tensor, "m d"], seed: int) -> Float[Tensor, " d"]:
    return vectors.probe_normal(toward, away)


def _random(toward: Float[Tensor, "n d"], away: Float[Tensor, "m d"], seed: int) -> Float[Tensor, " d"]:
    return vectors.random_like(vectors.difference(toward, away), seed)


#: The options of vectors from states.
OPTIONS = ("saying", "read_at")

MEAN = SteeringMethod(
    "mean", "difference of means", add_vectors, make_from_task, direction=_mean, of_means=True, options=OPTIONS
)
GUARDED = SteeringMethod(
    "guarded",
    "difference of means, added only where a guard fires",
    add_behind_guard,
    make_from_task,
    direction=_mean,
    guarded=True,
    exported=False,
    options=OPTIONS,
)
PROBE = SteeringMethod(
    "probe", "normal of a linear classifier", add_vectors, make_from_task, direction=_probe, options=OPTIONS
)
PCA = SteeringMethod(
    "pca",
    "first component of the differences",
    add_vectors,
    make_from_task,
    direction=vectors.first_component,
    options=OPTIONS,
)
RANDOM = SteeringMethod(
    "random",
    "random direction with the norm of mean",
    add_vectors,
    make_from_task,
    direction=_random,
    of_means=True,
    options=OPTIONS,
)


def make_vectors(
    lmm: LMM,
    contrast: Contrast,
    options: SteeringOptions | None = None,
    *,
    method: SteeringMethod = MEAN,
    out: str | Path,
    progress: Progress = silent,
) -> Steering:
    """One vector per layer, from the states of `contrast.away` to those of `contrast.toward`, in the folder `out`.

    Of n layers, each gets 1 / n of the strength (`Steering.share`): a later layer sees what was added before it, so
    whole vectors at all of them would push n times as far as one.

    A guarded vector has a guard at each layer: the normal of a linear classifier between the states of `away` and those
    of `contrast.others`. It fires above a threshold, halfway between the medians of the two sets' activations.

    Raises:
        UsageError: a guarded vector without others to leave alone, or others without a guard; an unknown layer, or one
            that is named twice; two sets of examples with the same mean.
        DataError: no example has a selected position.
        ArtifactError: `out` holds another steering.
    """
    if method.direction is None:
        raise UsageError(f"The method {method.name} makes no vectors from states.")
    if method.guarded != bool(contrast.others):
        raise UsageError(
            f"A guarded vector needs `others` to leave alone, and other vectors take none; got {method.name!r} with "
            f"{len(contrast.others)} sets of others."
        )
    options = options or SteeringOptions()
    layers, out = tuple(lmm.own_names(options.layers)), Path(out)
    details = {"share": 1 / len(layers), **_details(contrast, options)}
    parameters = parameters_of(method, lmm, layers, options.applied_at, details)
    if there := finished(out, method, parameters):
        return there
    doctor = certificate(lmm, [e.sample for e in contrast.away.examples[:2]])
    start = time.perf_counter()
    read = _read(lmm, contrast, layers, method.of_means, options, progress)
    tensors = {}
    for layer in layers:
        toward, away = read.toward.by_layer[layer], read.away.by_layer[layer]
        refuse_zero({layer: vectors.difference(toward, away)}, read.away.medians, _same_mean(contrast))
        tensors[f"layer.{layer}"] = method.direction(toward, away, options.seed)
    for layer in layers if read.others else ():
        others = torch.cat([states.by_layer[layer] for states in read.others])
        tensors |= _guard(layer, read.away.by_layer[layer], others)
    seconds = time.perf_counter() - start
    return write_steering(out, method, parameters, Content(tensors, read.away.medians, seconds=seconds, doctor=doctor))


def _same_mean(contrast: Contrast) -> str:
    return (
        f"the {len(contrast.toward)} examples of what is wanted and the {len(contrast.away)} others have the same mean "
        f"state at the positions {contrast.read_at!r}. Choose another layer, or give examples that differ."
    )


def _details(contrast: Contrast, options: SteeringOptions) -> dict[str, Any]:
    """What the manifest says of the examples."""
    details: dict[str, Any] = {
        "toward": described(contrast.toward.examples),
        "away": described(contrast.away.examples),
        "read_at": contrast.read_at,
        "saying": sorted(contrast.toward.saying),
        "saying_away": sorted(contrast.away.saying),
        "seed": options.seed,
    }
    if contrast.others:
        details["others"] = [{**described(o.examples), "saying": sorted(o.saying)} for o in contrast.others]
    return details


@dataclass(frozen=True)
class _ContrastStates:
    """The states of a contrast."""

    toward: States
    away: States
    others: list[States]


def _read(
    lmm: LMM, contrast: Contrast, layers: Sequence[Layer], means: bool, options: SteeringOptions, progress: Progress
) -> _ContrastStates:
    """The states of the examples of `contrast` at `layers`, or nothing but their means."""

    def read(chosen: ExampleSet) -> States:
        return example_states(
            lmm,
            chosen.examples,
            layers,
            positions=contrast.read_at,
            saying=chosen.saying,
            means=means,
            batch_size=options.batch_size,
            progress=progress,
        )

    return _ContrastStates(read(contrast.toward), read(contrast.away), [read(o) for o in contrast.others])


def _guard(layer: Layer, source: Float[Tensor, "n d"], others: Float[Tensor, "m d"]) -> dict[str, Tensor]:
    """The guard of the vector of `layer`: it fires at states like `source`, and not at states like `others`."""
    guard = Activation(vectors.probe_normal(source, others))
    threshold = (guard.of(source).median() + guard.of(others).median()) / 2
    return {f"guard.{layer}": guard.u, f"threshold.{layer}": threshold}
