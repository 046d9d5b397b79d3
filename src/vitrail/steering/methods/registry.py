"""All methods by name. A new method is a file of its own and an entry here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vitrail.artifacts import read_manifest
from vitrail.errors import ArtifactError, UsageError
from vitrail.steering.artifact import KIND, Steering, SteeringMethod, load_steering
from vitrail.steering.methods.from_concepts import CONCEPT, SHIFT
from vitrail.steering.methods.from_states import GUARDED, MEAN, PCA, PROBE, RANDOM
from vitrail.steering.methods.from_tensors import TENSOR
from vitrail.steering.methods.l2s import L2S
from vitrail.steering.methods.reft import DIREFT, LOREFT
from vitrail.steering.options import SHARED_OPTIONS

#: Name → method.
METHODS: dict[str, SteeringMethod] = {
    method.name: method for method in (MEAN, GUARDED, PROBE, PCA, RANDOM, L2S, LOREFT, DIREFT, CONCEPT, SHIFT, TENSOR)
}


def task_methods() -> tuple[str, ...]:
    """The names of the methods that make a steering from the examples of a task."""
    return tuple(name for name, method in METHODS.items() if method.make is not None)


def method_named(name: str) -> SteeringMethod:
    """The method of that name.

    Raises:
        UsageError: there is none; the message names those that exist.
    """
    if name not in METHODS:
        raise UsageError(f"There is no steering method {name!r}; there are {', '.join(METHODS)}.")
    return METHODS[name]


def refuse_options(method: str, given: Mapping[str, str]) -> None:
    """Raises `UsageError` if an option was given that the method has no use for.

    Args:
        method: the name of a method that makes a steering from a task.
        given: field of `SteeringOptions` → how the user calls it, of those that were given.
    """
    for field, name in given.items():
        if field not in (*SHARED_OPTIONS, *method_named(method).options):
            takers = ", ".join(m.name for m in METHODS.values() if field in m.options)
            raise UsageError(f"{name} is an option of {takers}; {method} has no use for it. Leave it out.")


def open_steering(folder: str | Path) -> Steering:
    """The steering in `folder`.

    Raises:
        ArtifactError: missing, damaged, newer, or made by a method that this version does not have.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, KIND)
    name = manifest["parameters"]["method"]
    if name not in METHODS:
        raise ArtifactError(f"{folder} was made by the method {name!r}, which this version of Vitrail does not have.")
    return load_steering(folder, METHODS[name], manifest)


def as_steering(steering: Steering | str | Path) -> Steering:
    """`steering` itself, or the one in that folder; see `open_steering`."""
    return open_steering(steering) if isinstance(steering, str | Path) else steering
