"""Dictionaries of SAELens → concepts of activations that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file

from vitrail.activations import Activations
from vitrail.artifacts import JSONError, parse
from vitrail.concepts import LearningOptions, adopt_concepts
from vitrail.errors import ArtifactError, UsageError
from vitrail.importing.report import Imported
from vitrail.learners import SparseAutoencoder
from vitrail.lmm import Layer

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
#: Architecture → the tensors beside `W_enc`, `W_dec` and `b_dec`.
ARCHITECTURES = {
    "standard": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "topk": ("b_enc",),
    "gated": ("b_gate", "r_mag", "b_mag"),
}
#: Rows of states that are encoded at once, to find which features are active.
_ROWS = 1024


@dataclass(frozen=True)
class Dictionary:
    """A dictionary of SAELens: a folder with `cfg.json` and `sae_weights.safetensors`.

    Args:
        path: the folder.
        config: what `cfg.json` says.
        tensors: of the weights, in float32.
    """

    path: Path
    config: Mapping[str, Any]
    tensors: Mapping[str, Float[np.ndarray, ...]]

    @property
    def architecture(self) -> str:
        """One of `ARCHITECTURES`; earlier versions wrote TopK as the standard one with another activation function."""
        named = str(self.config.get("architecture", "standard"))
        return "topk" if named == "standard" and "topk" in str(self.config.get("activation_fn_str")) else named

    @property
    def k(self) -> int | None:
        """How many features of a state are active at most."""
        if self.architecture != "topk":
            return None
        earlier = self.config.get("activation_fn_kwargs") or {}
        k = self.config.get("k") or (earlier.get("k") if isinstance(earlier, dict) else None)
        return k if isinstance(k, int) else 0

    @property
    def hook(self) -> str:
        """What the dictionary was trained on, as it says itself; empty where it does not."""
        metadata = self.config.get("metadata") or {}
        inner = metadata.get("hook_name") if isinstance(metadata, dict) else None
        return str(inner or self.config.get("hook_name") or "")


def open_dictionary(path: str | Path) -> Dictionary:
    """The dictionary of SAELens in a folder.

    Raises:
        ArtifactError: a file is missing or damaged, its tensors do not fit together, or it is of a kind that is not
            read; the message says which are.
    """
    path = Path(path)
    try:
        config = parse((path / CONFIG).read_text(encoding="utf-8"))
        tensors = {name: t.float().numpy() for name, t in load_file(path / WEIGHTS).items()}
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is no dictionary of SAELens: there is no {Path(error.filename).name}.") from error
    except (JSONError, SafetensorError, OSError, ValueError) as error:
        raise ArtifactError(f"{path} is damaged ({type(error).__name__}: {error}).") from error
    if not isinstance(config, dict):
        raise ArtifactError(f"{path / CONFIG} should hold an object; it holds a {type(config).__name__}.")
    found = Dictionary(path, config, tensors)
    _check(found)
    return found


def _check(found: Dictionary) -> None:
    """Raises `ArtifactError` unless the dictionary is one that `learner_of` computes."""
    kind, config, tensors = found.architecture, found.config, found.tensors
    if kind not in ARCHITECTURES:
        raise ArtifactError(f"{found.path} is a {kind!r}; these are read: {', '.join(ARCHITECTURES)}.")
    needed = ("W_enc", "W_dec", "b_dec", *ARCHITECTURES[kind])
    if missing := [name for name in needed if name not in tensors]:
        raise ArtifactError(f"{found.path}, a {kind!r}, lacks the tensors {', '.join(missing)}.")
    m, d = tensors["W_dec"].shape if tensors["W_dec"].ndim == 2 else (0, 0)
    shapes = {"W_enc": (d, m), "W_dec": (m, d), "b_dec": (d,), **dict.fromkeys(ARCHITECTURES[kind], (m,))}
    for name, shape in shapes.items():
        if tensors[name].shape != shape or not np.isfinite(tensors[name]).all():
            raise ArtifactError(
                f"{found.path}: {name} should be finite, of shape {shape}; its shape is {tensors[name].shape}."
            )
    normalised = config.get("normalize_activations", "none")
    if normalised not in ("none", None):
        raise ArtifactError(
            f"{found.path} normalises what it reads ({normalised}), which is not read. Fold it into the weights with "
            "SAELens first (`fold_activation_norm_scaling_factor`)."
        )
    if config.get("finetuning_scaling_factor"):
        raise ArtifactError(f"{found.path} scales its features (finetuning_scaling_factor), which is not read.")
    if found.hook.endswith("hook_z") or config.get("reshape_activations", "none") not in ("none", None):
        raise ArtifactError(f"{found.path} reads heads of attention ({found.hook}), not a residual stream.")
    if kind == "topk" and not 1 <= (found.k or 0) <= m:
        raise ArtifactError(f"{found.path} does not say how many of its {m} features are active: `k` is {found.k}.")


def import_dictionary(
    found: Dictionary, activations: Activations, *, out: str | Path, layer: Layer | None = None, n_concepts: int = 20
) -> Imported:
    """The features of a dictionary that are most active on `activations`, as concepts in the folder `out`.

    Activations are those of its own encoder. Of tens of thousands of features few are active on the states of one word;
    those with the largest mean activation are taken, as many as `n_concepts`.

    Args:
        activations: of the model that the dictionary was trained on.
        layer: of these; may be None when there is one.

    Raises:
        UsageError: features of another width than the states, or there is no such layer.
        ArtifactError: no feature is active on these states; or `out` holds something else.
    """
    at = activations.layers[0] if layer is None and len(activations.layers) == 1 else layer
    if at is None:
        raise UsageError(f"There are states of the layers {activations.layers}: say --layer.")
    Z, d = activations.states(at), found.tensors["W_dec"].shape[1]
    if Z.shape[1] != d:
        raise UsageError(f"Features of {found.path} have a width of {d}, states {Z.shape[1]}: it is of another model.")
    whole = learner_of(found, range(len(found.tensors["W_dec"])))
    totals = sum(whole.transform(Z[i : i + _ROWS]).sum(0, dtype=np.float64) for i in range(0, len(Z), _ROWS))
    order = np.argsort(-totals, kind="stable")[: min(n_concepts, len(Z))]
    chosen = [int(i) for i in order if totals[i] > 0]
    n_active = int((totals > 0).sum())
    if not chosen:
        raise ArtifactError(
            f"No feature of {found.path} is active on these states; it was trained on {found.hook or 'others'}."
        )
    options = LearningOptions(at, "sae", len(chosen), stability=0)
    made = adopt_concepts(activations, learner_of(found, chosen), options, out=out)
    said = (
        f"a dictionary of {len(whole.components_):,} features ({found.architecture})",
        f"{n_active:,} are active on these {len(Z):,} states; the concepts are features {', '.join(map(str, chosen))}",
    )
    missing = ("stability",) if found.hook else ("stability", "which layer it was trained on")
    return Imported("dictionary", made.folder, (*said, *([f"trained on {found.hook}"] if found.hook else [])), missing)


def learner_of(found: Dictionary, features: Sequence[int]) -> SparseAutoencoder:
    """The learner whose concepts are some features of a dictionary, in this order."""
    tensors, own = found.tensors, np.asarray(features, int)
    decoder, encoder = tensors["W_dec"], tensors["W_enc"].T
    bias = tensors["b_gate" if found.architecture == "gated" else "b_enc"]
    size = np.ones(len(decoder), np.float32)
    if found.config.get("rescale_acts_by_decoder_norm"):
        size = np.linalg.norm(decoder, axis=1).clip(1e-8)
    read = encoder @ tensors["b_dec"] if found.config.get("apply_b_dec_to_input", True) else np.zeros_like(bias)
    scale = np.exp(tensors["r_mag"]) if found.architecture == "gated" else np.ones_like(bias)
    shift = tensors["b_mag"] - scale * bias if found.architecture == "gated" else np.zeros_like(bias)
    threshold = tensors["threshold"] if found.architecture == "jumprelu" else np.zeros_like(bias)
    needed = own if found.k is None else np.concatenate([own, np.setdiff1d(np.arange(len(decoder)), own)])
    learner = SparseAutoencoder(len(own), k=found.k)
    learner.components_ = np.ascontiguousarray(decoder[own] / size[own, None])
    learner.encoder_ = np.ascontiguousarray(encoder[needed] * size[needed, None])
    learner.bias_ = (bias - read)[needed] * size[needed]
    learner.threshold_, learner.scale_, learner.shift_ = threshold[own], scale[own], shift[own]
    learner.decoder_bias_, learner.n_features_in_ = tensors["b_dec"], decoder.shape[1]
    return learner
