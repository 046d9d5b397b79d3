"""A steering on disk: vectors, or a learned function, with what made it; and the intervention that it stands for."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vitrail.artifacts import (
    MANIFEST,
    check_files,
    check_free,
    check_parent,
    file_hash,
    parent,
    read_manifest,
    same_run,
    write_manifest,
    write_whole,
)
from vitrail.errors import ArtifactError, UsageError
from vitrail.lmm import LMM, Layer
from vitrail.lmm.positions import Name, Positions
from vitrail.samples.examples import Example, examples_hash
from vitrail.steering.interventions import Activation, Add, Intervention, When
from vitrail.steering.learned import MODULES, FromContext, Function

log = logging.getLogger(__name__)

KIND = "steering"
FILE = "steering.safetensors"
Method = Literal[
    "mean", "guarded", "probe", "pca", "random", "concept", "shift", "tensor", "l2s", "loreft", "direft"
]  # fmt: skip
VECTORS = ("mean", "guarded", "probe", "pca", "random", "concept", "shift", "tensor")


@dataclass(frozen=True)
class Steering:
    """Vectors or learned functions of some layers.

    `tensors` are named "layer.7", or "layer.7.W" where there are several; a vector's guard "guard.7" and "threshold.7".
    """

    manifest: dict[str, Any]
    tensors: dict[str, Tensor]
    folder: Path | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        return self.manifest["parameters"]

    @property
    def method(self) -> Method:
        return self.parameters["method"]

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(self.parameters["layers"])

    @property
    def medians(self) -> dict[Layer, float]:
        """Layer → the median norm of its states: the unit of `norms`."""
        return {layer: float(self.manifest["medians"][str(layer)]) for layer in self.layers}

    @property
    def directions(self) -> dict[Layer, Tensor]:
        """Layer → vector (features,), of vectors.

        Raises:
            UsageError: this is a learned function.
        """
        if self.method not in VECTORS:
            raise UsageError(f"A steering by {self.method} is a function, not a vector.")
        return {layer: self.tensors[f"layer.{layer}"] for layer in self.layers}

    @property
    def norms(self) -> dict[Layer, float]:
        """Layer → the vector's norm in units of the layer's median norm."""
        medians = self.medians
        return {layer: float(v.norm()) / medians[layer] for layer, v in self.directions.items()}

    @property
    def n_parameters(self) -> int:
        """How many numbers were trained, or averaged."""
        fixed = ("centre", "spread", "unit")
        return sum(t.numel() for name, t in self.tensors.items() if not name.endswith(fixed))

    def only(self, layer: Layer) -> Steering:
        """The vector of one layer alone, with its guard."""
        manifest = {**self.manifest, "parameters": {**self.parameters, "layers": [layer]}}
        own = {name: t for name, t in self.tensors.items() if name.partition(".")[2] == str(layer)}
        return Steering(manifest, own, self.folder)

    def functions(self) -> dict[Layer, nn.Module]:
        """Layer → the learned module."""
        made: dict[Layer, nn.Module] = {}
        for layer in self.layers:
            own = {
                name.removeprefix(f"layer.{layer}."): t
                for name, t in self.tensors.items()
                if name.startswith(f"layer.{layer}.")
            }
            module = MODULES[self.method](self.parameters["n_features"], self.parameters["rank"])
            module.load_state_dict(own)
            made[layer] = module.requires_grad_(False)
        return made

    def intervention(
        self, alpha: float = 1.0, *, positions: Positions | None = None, keep_norm: bool = False
    ) -> Intervention:
        """What to hand to `steer`: at the positions that it was made for, if not said otherwise.

        Raises:
            UsageError: `keep_norm` for a learned function; guarded vectors of several layers.
        """
        where = self.parameters["applied_at"] if positions is None else positions
        if self.method in VECTORS:
            push = Add(self.directions, alpha, keep_norm=keep_norm, positions=where)
            return self._behind_its_guard(push) if self.method == "guarded" else push
        if keep_norm:
            raise UsageError(f"keep_norm is for vectors; {self.method} is a learned function.")
        if self.method == "l2s":
            return FromContext(self.parameters["context"], self.functions(), alpha, positions=where)
        return Function(self.functions(), alpha, positions=where)

    def _behind_its_guard(self, push: Add) -> When:
        if len(self.layers) != 1:
            raise UsageError(
                f"A guard is for the vector of one layer at a time; {self.folder} has those of {list(self.layers)}. "
                "Take one, by `only` or --layer."
            )
        (layer,) = self.layers
        return When(Activation(self.tensors[f"guard.{layer}"]), float(self.tensors[f"threshold.{layer}"]), push)

    def check(self, lmm: LMM) -> None:
        """Raises `ArtifactError` unless it fits `lmm` by its width; warns where it was made on other weights."""
        if self.parameters["n_features"] != lmm.n_features or any(
            layer != "final" and int(layer) > lmm.n_blocks for layer in self.layers
        ):
            raise ArtifactError(
                f"{self.folder or 'The steering'} is for states of {self.parameters['n_features']} features at layers "
                f"{list(self.layers)}; {lmm.name} has {lmm.n_features} features and {lmm.n_blocks} blocks."
            )
        made_on = self.parameters["model"]
        if made_on and made_on["fingerprint"] != lmm.describe().fingerprint:
            log.warning("%s was made on other weights than those of %s", self.folder, lmm.name)

    def _repr_html_(self) -> str:
        size = "" if self.method not in VECTORS else f", norms { ({k: round(v, 2) for k, v in self.norms.items()}) }"
        return f"<b>Steering</b> by {self.method} at layers {list(self.layers)}{size}"


def describe(
    lmm: LMM, method: Method, layers: tuple[Layer, ...], applied_at: Name, details: Mapping[str, Any]
) -> dict[str, Any]:
    """The parameters of a steering's manifest."""
    if method not in get_args(Method):
        raise UsageError(f"A steering is made by {', '.join(get_args(Method))}; got {method!r}.")
    own = {
        "method": method,
        "layers": list(layers),
        "applied_at": applied_at,
        "n_features": lmm.n_features,
        "model": lmm.describe().as_dict(),
    }
    return {**own, **details}


def finished(out: Path, parameters: Mapping[str, Any], parents: Mapping[str, Path] | None = None) -> Steering | None:
    """The steering in `out` if it was made with `parameters` from `parents`, None if there is none.

    Raises:
        ArtifactError: `out` holds another one, or something else.
    """
    if not (out / MANIFEST).exists():
        check_free(out, KIND, own={FILE, "state.safetensors", "loss.json"})
        return None
    manifest = read_manifest(out, KIND)
    same_run(out, manifest, parameters)
    for kind, folder in (parents or {}).items():
        check_parent(out, manifest, folder, kind)
    return open_steering(out)


def write_steering(
    out: Path,
    parameters: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    medians: Mapping[Layer, float],
    *,
    parents: Mapping[str, Path] | None = None,
    seconds: float | None = None,
    doctor: Mapping[str, Any] | None = None,
) -> Steering:
    """Writes a steering to the folder `out`, and opens it; `doctor` is the certificate of a model that was read."""
    kept = {name: t.detach().float().cpu().contiguous() for name, t in tensors.items()}
    write_whole(out / FILE, lambda path: save_file(kept, path))
    content = {
        "parameters": dict(parameters),
        "medians": {str(layer): float(value) for layer, value in medians.items()},
        "seconds": seconds,
        "parents": {kind: parent(folder) for kind, folder in (parents or {}).items()},
        "files": {FILE: file_hash(out / FILE)},
    }
    write_manifest(out, KIND, content if doctor is None else {**content, "doctor": dict(doctor)})
    return open_steering(out)


def open_steering(folder: str | Path) -> Steering:
    """The steering in `folder`.

    Raises:
        ArtifactError: missing, damaged, or newer.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, KIND)
    check_files(folder, manifest, "make it")
    return Steering(manifest, load_file(folder / FILE), folder)


def about(examples: Sequence[Example]) -> dict[str, Any]:
    """What a manifest says of examples: how many, and their hash."""
    return {"n": len(examples), "sha256": examples_hash(examples)}


def named(layer: Layer, module: nn.Module) -> dict[str, Tensor]:
    """A module's tensors, as a steering names them."""
    return {f"layer.{layer}.{name}": t for name, t in module.state_dict().items()}
