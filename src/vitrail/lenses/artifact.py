"""A lens on disk: for every layer an affine map to the last block, and how well it does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from vitrail.artifacts import manifest_of, read_finished, read_tensors, typed
from vitrail.errors import ArtifactError, UsageError
from vitrail.lenses.options import LensOptions
from vitrail.lmm import LMM, Layer, ModelDescription
from vitrail.notebook import Shown, View

KIND = "lens"
#: The maps; and what a run that was stopped keeps of the samples so far.
FILE, SUMS = "lens.safetensors", "sums.safetensors"
#: The tensors of a layer, after its name: the map at the positions of the text, what is taken off there before and
#: added after; of the image's tokens the map and what is taken off.
TEXT, IMAGE = ("matrix", "mean", "last"), ("image_matrix", "image_mean")


@dataclass(frozen=True)
class LayerFit:
    """How well a lens does at one layer, on samples that it was not fitted on.

    Args:
        explained: share of the variance of the last block's states that the map explains; below 0 where their mean is
            nearer.
        agrees: share of positions at which the words of the mapped state begin with the token that the model says.
        unembedding_agrees: the same of the state itself, without a lens.
        error: the relative standard error of the mean Jacobian (its Frobenius norm); None for a regression.
        image_error: the same of the map from the image's tokens; None where there is none.
    """

    explained: float
    agrees: float
    unembedding_agrees: float
    error: float | None = None
    image_error: float | None = None


@dataclass(frozen=True)
class _Samples:
    n: int
    sha256: str


@dataclass(frozen=True)
class _Parameters:
    """What a lens was made with, beside its options."""

    model: dict[str, Any]
    prompt: str
    samples: _Samples

    def __post_init__(self) -> None:
        ModelDescription.from_dict(self.model)


@manifest_of(KIND)
@dataclass(frozen=True)
class _Manifest:
    """What the manifest of a lens has."""

    parameters: dict[str, Any]
    fit: dict[str, LayerFit]

    def __post_init__(self) -> None:
        typed(self.parameters, _Parameters)
        if {*map(str, _options_of(self.parameters).layers)} != {*self.fit}:
            raise ValueError("fit is of other layers")


def _options_of(parameters: Mapping[str, Any]) -> LensOptions:
    """The options in the parameters of a manifest."""
    return LensOptions(**{name: parameters[name] for name in LensOptions.__dataclass_fields__})


@dataclass(frozen=True, eq=False)
class LensMap:
    """An affine map from states of a layer to those of the last block, before the final norm: `A(h) = b + J (h − m)`.

    Args:
        matrix: `J`, (d, d).
        mean: `m`, the mean of the layer's states.
        last: `b`, the mean of the last block's; 0 for a map that tells only what a state changes there.
    """

    matrix: Float[np.ndarray, "d d"]
    mean: Float[np.ndarray, " d"]
    last: Float[np.ndarray, " d"]

    def directions(self, U: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """`J u` of each row."""
        return U @ self.matrix.T

    def states(self, Z: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
        """`A(z)` of each row."""
        return self.last + self.directions(Z - self.mean)


@dataclass(frozen=True)
class Lens(Shown):
    """A lens, opened.

    Args:
        folder: where it lies.
        manifest: its own.
        tensors: by name, such as "5.matrix".
    """

    folder: Path
    manifest: dict[str, Any]
    tensors: dict[str, np.ndarray]

    @property
    def options(self) -> LensOptions:
        """How it was fitted."""
        return _options_of(self.manifest["parameters"])

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that it has a map of."""
        return tuple(self.options.layers)

    @property
    def model(self) -> ModelDescription:
        """The model that it is of."""
        return ModelDescription.from_dict(self.manifest["parameters"]["model"])

    @cached_property
    def fit(self) -> dict[Layer, LayerFit]:
        """Layer → how well it does there."""
        found = typed(self.manifest["fit"], dict[str, LayerFit])
        return {layer: found[str(layer)] for layer in self.layers}

    def at(self, layer: Layer) -> LensMap:
        """The map of a layer, at the positions of the text.

        Raises:
            UsageError: it has none of that layer; those that it has are named.
        """
        self._check_layer(layer)
        matrix, mean, last = (self.tensors[f"{layer}.{name}"] for name in TEXT)
        return LensMap(matrix, mean, last)

    def of_image(self, layer: Layer) -> LensMap:
        """The map of the image's tokens in a layer: what each changes in the states that predict the answer.

        Raises:
            UsageError: it has none, or not of that layer.
        """
        self._check_layer(layer)
        if f"{layer}.{IMAGE[0]}" not in self.tensors:
            raise UsageError(
                f"The lens {self.folder} has no map of the image's tokens: "
                f"{'the model has none in its text' if self.options.rows else 'it was fitted with 0 rows'}."
            )
        matrix, mean = (self.tensors[f"{layer}.{name}"] for name in IMAGE)
        return LensMap(matrix, mean, np.zeros_like(mean))

    def _check_layer(self, layer: Layer) -> None:
        if layer not in self.layers:
            raise UsageError(
                f"The lens {self.folder} is of layer {', '.join(map(str, self.layers))}, not of layer {layer}. Fit one "
                f"with `vitrail lens fit --layers {layer}`."
            )

    def check(self, lmm: LMM) -> None:
        """Raises `ArtifactError` unless it was fitted on `lmm`; names both."""
        if differing := lmm.differences(self.model):
            raise ArtifactError(
                f"The lens {self.folder} is of the model {self.model.name!r}, not of {lmm.name!r} as loaded "
                f"({'; '.join(differing)}). Fit one of this model with `vitrail lens fit`."
            )

    def _shown(self) -> View:
        heads = ("layer", "says the model's token", "unembedding alone", "explained")
        rows = tuple((k, f"{f.agrees:.0%}", f"{f.unembedding_agrees:.0%}", f.explained) for k, f in self.fit.items())
        return View("Lens", f"({self.options.method}) of {self.model.title}", heads, rows)


def open_lens(folder: str | Path) -> Lens:
    """The finished lens in `folder`.

    Raises:
        ArtifactError: missing, unfinished, damaged or newer.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "fit the lens")
    layers = manifest["parameters"]["layers"]
    names = [f"{layer}.{name}" for layer in layers for name in TEXT]
    return Lens(folder, manifest, read_tensors(folder / FILE, names, "fit the lens"))
