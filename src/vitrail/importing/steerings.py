"""Steering vectors and L2S networks of the published code, as steerings."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vitrail.artifacts import file_hash
from vitrail.errors import ArtifactError, UsageError
from vitrail.importing.files import Released
from vitrail.importing.report import Imported
from vitrail.lmm import LMM, Layer
from vitrail.lmm.positions import Name
from vitrail.samples import Sample
from vitrail.steering import tensor_vector
from vitrail.steering.artifact import Content, finished, module_tensors, parameters_of, write_steering
from vitrail.steering.methods.from_tensors import sample_medians
from vitrail.steering.methods.l2s import L2S, TwoLayer

MAIN = "steering_vector"
#: Fine vectors between concepts: the file computes `u_i − u_j` and calls it "i to j".
_FINE = re.compile(r"steering_vector_concept_(\d+)_to_(\d+)")


@dataclass(frozen=True)
class Place:
    """Where an imported steering belongs, which the files do not say.

    Args:
        layer: whose states it changes.
        samples: with captions or answers; the median norm of their states is the unit of strengths.
        applied_at: the positions that it is for.
        context: of a network, the layer that it reads; `layer` for None.
    """

    layer: Layer
    samples: Sequence[Sample]
    applied_at: Name = "generated"
    context: Layer | None = None


def import_vector(file: Released, lmm: LMM, place: Place, *, out: str | Path, key: str | None = None) -> Imported:
    """One vector of a file, as a steering in the folder `out`.

    Args:
        key: which of several vectors; for None the one called `steering_vector`.

    Raises:
        ArtifactError: there is no such vector, or it is a table of vectors; the message names those that there are.
        UsageError: a vector of another width.
    """
    vectors = {str(name): value for name, value in file.content.items() if isinstance(value, Tensor)}
    single = [name for name, value in vectors.items() if value.squeeze().ndim == 1 and name.startswith(MAIN)]
    name = key or MAIN
    if name not in single:
        tables = [f"{n} {tuple(v.shape)}" for n, v in vectors.items() if n not in single]
        raise ArtifactError(
            f"{file.path} has no single vector {name!r}. Vectors: {', '.join(single) or 'none'}; tables: "
            f"{', '.join(tables) or 'none'}. Name a vector with --key."
        )
    made = tensor_vector(
        lmm,
        {place.layer: vectors[name].squeeze().float()},
        place.samples,
        out=out,
        applied_at=place.applied_at,
        source=f"{file.path.name}: {name}",
    )
    notes = [f"{len(single)} vectors; {name!r} was taken"]
    if match := _FINE.fullmatch(name):
        i, j = match.groups()
        notes.append(f"{name!r} points from concept {j} to concept {i}, against its name: the file holds u_{i} − u_{j}")
    return Imported(
        "vectors", made.folder or Path(out), tuple(notes), ("the layer and the positions: as you gave them",)
    )


def import_network(file: Released, lmm: LMM, place: Place, *, out: str | Path) -> Imported:
    """A trained L2S network, `W₂ tanh(W₁ h + b)`, as a steering in the folder `out`.

    Raises:
        ArtifactError: weights whose shapes do not fit together.
        UsageError: a network of another width than that of the model's states.
    """
    weights: dict[str, Tensor] = {name: value.float() for name, value in file.content.items()}
    into, bias, decoder = (weights[name] for name in ("encoder.weight", "encoder.bias", "decoder.weight"))
    hidden = len(bias)
    if into.ndim != 2 or bias.ndim != 1 or decoder.ndim != 2 or (len(into), decoder.shape[1]) != (hidden, hidden):
        shapes = ", ".join(f"{name} {tuple(value.shape)}" for name, value in weights.items())
        raise ArtifactError(f"The layers of the network in {file.path} do not fit together: {shapes}.")
    if (into.shape[1], len(decoder)) != (lmm.n_features, lmm.n_features):
        raise UsageError(
            f"{file.path} is for states of {into.shape[1]} features; those of {lmm.name} have {lmm.n_features}."
        )
    layer, out = lmm.layer(place.layer), Path(out)
    context = layer if place.context is None else lmm.layer(place.context)
    g = TwoLayer(lmm.n_features, hidden)  # its input is not standardised, its output has the states' own unit
    with torch.no_grad():
        g.into.copy_(into)
        g.bias.copy_(bias)
        g.out.copy_(decoder.T)
    details = {"context": context, "rank": hidden, "source": file.path.name, "sha256": file_hash(file.path)}
    parameters = parameters_of(L2S, lmm, (layer,), place.applied_at, details)
    made = finished(out, L2S, parameters)
    if made is None:
        medians = sample_medians(lmm, place.samples, (layer,), place.applied_at)
        made = write_steering(out, L2S, parameters, Content(module_tensors(layer, g), medians))
    found = (f"a network of {hidden} hidden units for {lmm.n_features} features",)
    missing = ("the layers that it reads and changes: as you gave them", "the examples that it was trained on")
    return Imported("network", made.folder or out, found, missing)
