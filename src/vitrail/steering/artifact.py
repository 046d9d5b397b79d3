"""A steering on disk, the method that made it, and the intervention that it stands for."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vitrail.artifacts import (
    MANIFEST,
    check_files,
    check_free,
    check_parent,
    damaged,
    manifest_of,
    parent,
    plain,
    read_manifest,
    read_tensors,
    same_run,
    typed,
    write_manifest,
    write_whole,
)
from vitrail.errors import ArtifactError, UsageError
from vitrail.lmm import LMM, Layer, ModelDescription
from vitrail.lmm.positions import Name, Positions
from vitrail.notebook import Shown, View, bars
from vitrail.progress import Progress
from vitrail.samples import Sample
from vitrail.steering.contrast import Contrast
from vitrail.steering.interventions import Intervention
from vitrail.steering.options import Application, SteeringOptions
from vitrail.steering.tasks import Task

log = logging.getLogger(__name__)

KIND = "steering"
FILE = "steering.safetensors"
#: In median norms of a layer's states. Rounding in float32 leaves 1e-6 at most of a difference of equal means; the
#: shortest vectors of Toyland's tasks are a hundred times as long as this.
SHORTEST = 1e-4


@dataclass(frozen=True)
class Fit:
    """How well a network fits its targets: the share of their variance around their mean that it explains.

    Args:
        epochs: how many passes over the examples the network was fitted with.
        learned: of the targets that it was fitted to.
        held_out: of samples that were held out from networks that were fitted in the same way to the others; None where
            there were too few samples.
    """

    epochs: int
    learned: float
    held_out: float | None


@dataclass(frozen=True, kw_only=True)
class _Parameters:
    """What a steering was made with; `rank` and `context` are of learned functions, see `SteeringMethod.details`."""

    method: str
    layers: tuple[Layer, ...]
    applied_at: Name
    n_features: int
    model: dict[str, Any] | None
    share: float = 1.0
    rank: int = 0
    context: Layer | None = None

    def __post_init__(self) -> None:
        if self.model:
            ModelDescription.from_dict(self.model)


@manifest_of(KIND)
@dataclass(frozen=True)
class _Manifest:
    """What the manifest of a steering has."""

    parameters: _Parameters
    medians: dict[str, float]
    seconds: float | None = None
    fit: Fit | None = None

    def __post_init__(self) -> None:
        if lacking := {str(layer) for layer in self.parameters.layers} - self.medians.keys():
            raise ValueError(f"`medians` lacks the layer {min(lacking)}")


@dataclass(frozen=True)
class Assignment:
    """What to make a steering for, and where to put it."""

    lmm: LMM
    task: Task
    samples: Sequence[Sample]
    options: SteeringOptions
    out: Path
    progress: Progress

    def contrast(self, guarded: bool = False) -> Contrast:
        """The examples of the task that are not as wanted and those that are, read where the options say.

        Args:
            guarded: of a guarded vector, with the examples that it must leave alone.

        Raises:
            UsageError: there is nothing for a guard to watch for.
            DataError: the samples do not show the task.
        """
        choose, at = self.task.guarded if guarded else self.task.contrast, self.options.read_at
        found = choose(self.samples, saying=self.options.saying and at is None)
        return found if at is None else replace(found, read_at=at)


@dataclass(frozen=True)
class SteeringMethod:
    """What a way to steer says of itself. `steering.methods.METHODS` lists all of them.

    Args:
        name: in manifests and on the command line.
        title: what it is, in a few words.
        intervention: what a steering of this method does to states, applied in some way; see `Steering.intervention`.
        make: makes a steering for a task; None if it is not made from examples of a task.
        direction: of vectors that are made from states: (toward, away, seed) → the vector of a layer.
        module: of learned functions: (features, rank) → the untrained module of a layer; None for vectors.
        guarded: whether a vector is added only where a guard fires, which needs examples to leave alone.
        fixed: whether it is applied as it was trained, whatever strength and positions others are compared at.
        exported: whether its vectors can be written to other tools' files, which have no place for a condition.
        constants: names of the tensors of a module that are not trained.
        details: names of parameters that its manifests have beside those of every steering.
        options: names of the fields of `SteeringOptions` that are its own, beside `SHARED_OPTIONS`.
        of_means: whether `direction` needs nothing of the states but their means, so that no others are kept.
    """

    name: str
    title: str
    intervention: Callable[[Steering, Application], Intervention]
    make: Callable[[SteeringMethod, Assignment], Steering] | None = None
    direction: Callable[[Float[Tensor, "n d"], Float[Tensor, "m d"], int], Float[Tensor, " d"]] | None = None
    module: Callable[[int, int], nn.Module] | None = None
    guarded: bool = False
    fixed: bool = False
    exported: bool = True
    constants: tuple[str, ...] = ()
    details: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    of_means: bool = False

    @property
    def is_vector(self) -> bool:
        """Whether it has one vector per layer, with a norm; otherwise it is a learned function."""
        return self.module is None


@dataclass(frozen=True)
class Steering(Shown):
    """Vectors or learned functions of some layers.

    The tensors of layer 7 are named "layer.7", or "layer.7.W" if there are several. A guarded vector has "guard.7" and
    "threshold.7" as well.
    """

    method: SteeringMethod
    manifest: dict[str, Any]
    tensors: dict[str, Tensor]
    folder: Path | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        return self.manifest["parameters"]

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(self.parameters["layers"])

    @property
    def applied_at(self) -> Name:
        """The positions that it was made for."""
        return self.parameters["applied_at"]

    @property
    def digest(self) -> str:
        """sha256 of all that decides what it does."""
        found = hashlib.sha256(json.dumps(self.parameters, sort_keys=True).encode())
        for name, tensor in sorted(self.tensors.items()):
            found.update(name.encode() + tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return found.hexdigest()

    @property
    def seconds(self) -> float | None:
        """How long it took to make; None if nothing was read or trained."""
        return self.manifest.get("seconds")

    @property
    def fit(self) -> Fit | None:
        """How well a network of L2S fits its targets; None where that is not known."""
        found = self.manifest.get("fit")
        return None if found is None else typed(found, Fit)

    @property
    def medians(self) -> dict[Layer, float]:
        """Layer → the median norm of its states: the unit of `norms`."""
        return {layer: float(self.manifest["medians"][str(layer)]) for layer in self.layers}

    @property
    def share(self) -> float:
        """The part of its vector that each layer gets at strength 1: 1 / n for vectors between two sets of states at n
        layers, so that all of them together push as far as one alone; 1 for the vectors of a file."""
        return self.parameters.get("share", 1.0)

    @property
    def directions(self) -> dict[Layer, Float[Tensor, " d"]]:
        """Layer → what strength 1 adds to its states (d,): the `share` of its vector.

        Raises:
            UsageError: this is a learned function, which has no vectors.
        """
        if not self.method.is_vector:
            raise UsageError(f"A steering by {self.method.name} is a learned function and has no vectors.")
        return {layer: self.share * self.tensors[f"layer.{layer}"] for layer in self.layers}

    @property
    def norms(self) -> dict[Layer, float]:
        """Layer → the norm of what strength 1 adds, in units of the layer's median norm."""
        medians = self.medians
        return {layer: float(v.norm()) / medians[layer] for layer, v in self.directions.items()}

    @property
    def n_parameters(self) -> int:
        """How many numbers were trained, or averaged."""
        constant = tuple(f".{name}" for name in self.method.constants)
        return sum(t.numel() for name, t in self.tensors.items() if not (constant and name.endswith(constant)))

    def only(self, layer: Layer) -> Steering:
        """The vector of one layer alone, all of it, with its guard.

        Raises:
            UsageError: there is no vector of this layer.
        """
        own, n = layer, (self.parameters.get("model") or {}).get("n_blocks")
        if isinstance(layer, int) and layer < 0 and n is not None:
            own = n + 1 + layer
        if own not in self.directions:
            known = ", ".join(map(str, self.layers))
            raise UsageError(f"{self.folder or 'The steering'} has layers {known}; got layer {layer}.")
        manifest = {**self.manifest, "parameters": {**self.parameters, "layers": [own], "share": 1.0}}
        tensors = {name: t for name, t in self.tensors.items() if name.partition(".")[2] == str(own)}
        return Steering(self.method, manifest, tensors, self.folder)

    def functions(self) -> dict[Layer, nn.Module]:
        """Layer → the learned module.

        Raises:
            UsageError: these are vectors.
        """
        if self.method.module is None:
            raise UsageError(f"A steering by {self.method.name} is a vector and has no learned function.")
        made: dict[Layer, nn.Module] = {}
        for layer in self.layers:
            start = f"layer.{layer}."
            own = {name.removeprefix(start): t for name, t in self.tensors.items() if name.startswith(start)}
            module = self.method.module(self.parameters["n_features"], self.parameters["rank"])
            module.load_state_dict(own)
            made[layer] = module.requires_grad_(False)
        return made

    def intervention(
        self, alpha: float = 1.0, *, positions: Positions | None = None, keep_norm: bool = False
    ) -> Intervention:
        """The intervention to pass to `steer`.

        Args:
            alpha: the strength; 1 is the strength that it was made with.
            positions: whose states are changed; those that it was made for by default.
            keep_norm: of vectors, whether every state keeps its norm.

        Raises:
            UsageError: `keep_norm` for a learned function; guarded vectors of several layers.
        """
        return self.applied(Application(alpha, positions, keep_norm))

    def applied(self, application: Application) -> Intervention:
        """The intervention to pass to `steer`; see `intervention`."""
        return self.method.intervention(self, application)

    def positions(self, application: Application) -> Positions:
        """The positions that `application` names, or those that this was made for."""
        return self.applied_at if application.positions is None else application.positions

    def check(self, lmm: LMM, *, other_weights: bool = False) -> None:
        """Raises `ArtifactError` unless it fits `lmm` by its width, and was made on the same weights.

        Args:
            other_weights: whether it may have been made on other weights.
        """
        if self.parameters["n_features"] != lmm.n_features or any(
            layer != "final" and int(layer) > lmm.n_blocks for layer in self.layers
        ):
            raise ArtifactError(
                f"{self.folder or 'The steering'} is for states of {self.parameters['n_features']} features at layers "
                f"{list(self.layers)}; {lmm.name} has {lmm.n_features} features and {lmm.n_blocks} blocks."
            )
        made_on = self.parameters["model"]
        if other_weights or not made_on:
            return
        differing = lmm.differences(ModelDescription.from_dict(made_on))
        if any("fingerprint" in difference for difference in differing):
            raise ArtifactError(
                f"{self.folder or 'The steering'} was made on other weights than those of {lmm.name}: "
                f"{'; '.join(differing)}. Make it on this model; or add --other-weights (other_weights=True) to "
                "apply it all the same."
            )

    def _shown(self) -> View:
        about = f"by {self.method.name} at layers {list(self.layers)}: {self.method.title}"
        if not self.method.is_vector:
            return View("Steering", about)
        note = "Norms: what strength 1 adds, in units of the median norm of the layer's states."
        rows = tuple(zip(self.norms, bars(self.norms.values()), strict=True))
        return View("Steering", about, ("layer", "norm"), rows, notes=(note,))


def parameters_of(
    method: SteeringMethod, lmm: LMM, layers: Sequence[Layer], applied_at: Name, details: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters of a steering's manifest; `details` are the method's own."""
    return {
        "method": method.name,
        "layers": list(layers),
        "applied_at": applied_at,
        "n_features": lmm.n_features,
        "model": lmm.describe().as_dict(),
        **details,
    }


def finished(
    out: Path, method: SteeringMethod, parameters: Mapping[str, Any], parents: Mapping[str, Path] | None = None
) -> Steering | None:
    """The steering in `out` if it was made with `parameters` from `parents`, None if there is none.

    Raises:
        ArtifactError: `out` holds another one, or something else.
    """
    if not (out / MANIFEST).exists():
        check_free(out, KIND)
        return None
    manifest = read_manifest(out, KIND)
    same_run(out, manifest, parameters)
    for name, state in damaged(out, manifest):
        log.warning("%s is %s; it is made again", out / name, state)
        return None
    for kind, folder in (parents or {}).items():
        check_parent(out, manifest, folder, kind)
    return load_steering(out, method, manifest)


@dataclass(frozen=True)
class Content:
    """What a method has made, to be written.

    Args:
        tensors: by the names that `Steering` gives them.
        medians: layer → the median norm of its states.
        parents: kind → folder of the artifacts that it was made from.
        seconds: how long it took.
        doctor: the certificate of the model that was read.
        fit: of a learned function, how well it fits what it was learned from.
    """

    tensors: Mapping[str, Tensor]
    medians: Mapping[Layer, float]
    parents: Mapping[str, Path] | None = None
    seconds: float | None = None
    doctor: Mapping[str, Any] | None = None
    fit: Fit | None = None


def write_steering(out: Path, method: SteeringMethod, parameters: Mapping[str, Any], made: Content) -> Steering:
    """Writes a steering to the folder `out`, and opens it."""
    kept = {name: t.detach().float().cpu().contiguous() for name, t in made.tensors.items()}
    write_whole(out / FILE, lambda path: save_file(kept, path))
    content = {
        "parameters": dict(parameters),
        "medians": {str(layer): float(value) for layer, value in made.medians.items()},
        "seconds": made.seconds,
        "parents": {kind: parent(folder) for kind, folder in (made.parents or {}).items()},
    }
    content |= {} if made.doctor is None else {"doctor": dict(made.doctor)}
    content |= {} if made.fit is None else {"fit": plain(made.fit)}
    return load_steering(out, method, write_manifest(out, KIND, content, [FILE]))


def load_steering(folder: Path, method: SteeringMethod, manifest: dict[str, Any]) -> Steering:
    """The steering in `folder`, which `method` made.

    Raises:
        ArtifactError: a file is missing or damaged.
    """
    check_files(folder, manifest, "make it")
    lacking = [name for name in method.details if name not in manifest["parameters"]]
    if lacking:
        raise ArtifactError(
            f"{folder / MANIFEST} has no `parameters.{lacking[0]}`, which a steering by {method.name} needs. Remove "
            f"{folder} and make it again."
        )
    return Steering(method, manifest, read_tensors(folder / FILE, (), "make it", load_file), folder)


def refuse_zero(vectors: Mapping[Layer, Float[Tensor, " d"]], medians: Mapping[Layer, float], why: str) -> None:
    """Refuses vectors that are zero but for rounding: what they steer stays as it is.

    Args:
        vectors: layer → vector (d,).
        medians: layer → the median norm of its states.
        why: the cause and what to do, for the message.

    Raises:
        UsageError: the norm of a vector is less than `SHORTEST` medians.
    """
    for layer, v in vectors.items():
        norm = float(v.float().norm()) / medians[layer]
        if not norm >= SHORTEST:
            raise UsageError(f"The vector of layer {layer} is zero (its norm is {norm:.1g} median norms): {why}")


def module_tensors(layer: Layer, module: nn.Module) -> dict[str, Tensor]:
    """A module's tensors, by the names that a steering gives them."""
    return {f"layer.{layer}.{name}": t for name, t in module.state_dict().items()}
