"""Vectors that were made elsewhere, as a steering."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.lmm import LMM, Layer
from vitrail.lmm.positions import Name
from vitrail.samples import Sample
from vitrail.samples.examples import Example
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
from vitrail.steering.states import example_states

#: The unit of the norms comes from the states of so many samples.
MAX_SAMPLES = 64

TENSOR = SteeringMethod("tensor", "vectors from a file", add_vectors)


def tensor_vector(
    lmm: LMM,
    directions: Mapping[Layer, Float[Tensor, " d"]],
    samples: Sequence[Sample],
    *,
    out: str | Path,
    applied_at: Name = "generated",
    source: str = "",
) -> Steering:
    """Vectors that were made elsewhere, as a steering of `lmm`.

    Args:
        directions: layer → vector (d,).
        samples: with captions or answers. The median norm of their states is the unit of `Steering.norms`; the first
            `MAX_SAMPLES` are read.
        source: where they come from, for the manifest.

    Raises:
        UsageError: a layer is named twice, or a vector is of another width, zero, or not finite.
        DataError: no sample has a caption or an answer.
        ArtifactError: `out` holds another steering.
    """
    own, parameters = _checked(lmm, directions, applied_at, source)
    if there := finished(Path(out), TENSOR, parameters):
        return there
    return _written(own, sample_medians(lmm, samples, tuple(own), applied_at), parameters, Path(out))


def known_vector(
    lmm: LMM,
    directions: Mapping[Layer, Float[Tensor, " d"]],
    medians: Mapping[Layer, float],
    *,
    out: str | Path,
    applied_at: Name = "generated",
    source: str = "",
) -> Steering:
    """Vectors for layers whose states are known already, as a steering of `lmm`; see `tensor_vector`.

    Args:
        medians: layer → the median norm of its states.

    Raises:
        UsageError: a layer is named twice, or a vector is of another width, zero, or not finite.
        ArtifactError: `out` holds another steering.
    """
    own, parameters = _checked(lmm, directions, applied_at, source)
    known = {lmm.layer(name): medians[name] for name in directions}
    return finished(Path(out), TENSOR, parameters) or _written(own, known, parameters, Path(out))


def _checked(
    lmm: LMM, directions: Mapping[Layer, Tensor], applied_at: Name, source: str
) -> tuple[dict[Layer, Tensor], dict[str, Any]]:
    """The vectors by the layers' own names, and the parameters of their manifest."""
    own = {layer: torch.as_tensor(directions[name]) for layer, name in lmm.own_names(directions).items()}
    for layer, v in own.items():
        if v.shape != (lmm.n_features,) or not torch.isfinite(v.float()).all():
            raise UsageError(f"Expected {lmm.n_features} finite numbers for layer {layer}; got {tuple(v.shape)}.")
    content = hashlib.sha256(b"".join(v.float().cpu().numpy().tobytes() for v in own.values())).hexdigest()
    return own, parameters_of(TENSOR, lmm, tuple(own), applied_at, {"source": source, "sha256": content})


def _written(
    own: Mapping[Layer, Tensor], medians: Mapping[Layer, float], parameters: Mapping[str, Any], out: Path
) -> Steering:
    refuse_zero(own, medians, "nothing would be steered. Give another one.")
    return write_steering(out, TENSOR, parameters, Content({f"layer.{k}": v for k, v in own.items()}, medians))


def sample_medians(lmm: LMM, samples: Sequence[Sample], layers: Sequence[Layer], positions: Name) -> dict[Layer, float]:
    """Layer → the median norm of its states of the first `MAX_SAMPLES` samples, at these positions of what was said.

    Raises:
        DataError: no sample has a caption or an answer.
    """
    examples = [Example(s, text) for s in samples[:MAX_SAMPLES] for text in (*s.references, *s.answers)[:1]]
    return example_states(lmm, examples, list(layers), positions=positions).medians
