"""Learning: activations → concepts `U` and their activations `V`, with `Z ≈ V U`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from vitrail import learners
from vitrail.activations import Activations
from vitrail.artifacts import check_parent, file_hash, is_current, parent, read_manifest, write_manifest, write_whole
from vitrail.errors import ArtifactError, NumericsError, UsageError

KIND = "concepts"
FILE = "concepts.safetensors"

#: A state of more than this many times the median norm is an attention sink, not an example of the word.
OUTLIER_NORM = 10.0


@dataclass(frozen=True)
class Concepts:
    """Concepts of a word: `U` (n_concepts, n_features), `V` (n_samples, n_concepts), and the learner that made them."""

    folder: Path
    manifest: dict[str, Any]
    learner: learners.Learner
    V: np.ndarray
    kept: np.ndarray

    @property
    def U(self) -> np.ndarray:
        return self.learner.components_

    @property
    def parameters(self) -> dict[str, Any]:
        return self.manifest["parameters"]

    @property
    def layer(self) -> int | str:
        return self.parameters["layer"]

    @property
    def scores(self) -> dict[str, float]:
        """Explained variance, share of zero activations and the like; see `describe_fit`."""
        return self.manifest["scores"]

    def __len__(self) -> int:
        return len(self.U)

    @cached_property
    def percentiles(self) -> np.ndarray:
        """(n_samples, n_concepts): each column of `V` sorted, to look up where a new activation stands."""
        return np.sort(self.V, axis=0)

    def percentile(self, activations: np.ndarray) -> np.ndarray:
        """For activations (n_concepts,) the percentage of training samples whose activation is smaller (ties half)."""
        columns = zip(self.percentiles.T, activations, strict=True)
        below = [np.searchsorted(c, a, "left") + np.searchsorted(c, a, "right") for c, a in columns]
        return np.array(below) * (50.0 / len(self.V))

    def _repr_html_(self) -> str:
        p = self.parameters
        return f"<b>{len(self)} concepts</b> by {p['method']} at layer {p['layer']}: {self.scores}"


def learn(
    activations: Activations,
    *,
    out: str | Path,
    layer: int | str | None = None,
    method: str = "semi-nmf",
    n_concepts: int = 20,
    penalty: float | None = None,
    seed: int = 0,
) -> Concepts:
    """`n_concepts` concepts of the states of one layer, written to the folder `out`.

    States are taken as they are, neither centred nor scaled, as in CoX-LMM's released code; those with more than
    `OUTLIER_NORM` times the median norm are left out and named in the manifest.

    Args:
        layer: which of the extracted layers; may be left out when there is one.
        method: "semi-nmf", "pca", "kmeans" or "simple".
        penalty: λ of the Semi-NMF objective `‖Z − V U‖² + λ‖V‖₁`; its default for None.

    Raises:
        UsageError: no such layer or method, or more concepts than samples.
        NumericsError: states that are not finite.
        ArtifactError: `out` holds something else.
    """
    out = Path(out)
    layer = _one_layer(activations, layer)
    parameters = {"layer": layer, "method": method, "n_concepts": n_concepts, "penalty": penalty, "seed": seed}
    learner = learners.make_learner(method, n_concepts, penalty=penalty, seed=seed)
    parents = {"activations": parent(activations.folder)}
    if is_current(out, KIND, parameters, parents, FILE):
        return open_concepts(out, activations)
    Z = activations.states(layer)
    if not np.isfinite(Z).all():
        raise NumericsError(f"{(~np.isfinite(Z)).any(1).sum()} of {len(Z)} states of layer {layer} are not finite.")
    kept = ordinary(Z)
    if n_concepts > kept.sum():
        raise UsageError(
            f"Cannot learn {n_concepts} concepts from {kept.sum()} samples. "
            "Ask for fewer concepts, or extract from more samples."
        )
    try:
        learner.fit(Z[kept])
    except ValueError as error:
        raise UsageError(str(error)) from error
    V = np.asarray(learner.transform(Z[kept]))
    tensors, state = learners.save(learner)
    tensors = {f"learner.{k}": v for k, v in tensors.items()} | {"V": np.ascontiguousarray(V), "kept": kept}
    write_whole(out / FILE, lambda path: save_file(tensors, path))
    manifest = write_manifest(
        out,
        KIND,
        {
            "parameters": parameters,
            "learner": state,
            "scores": describe_fit(Z[kept], V, learner),
            "dropped": [activations.rows[i]["sample_id"] for i in np.flatnonzero(~kept)],
            "parents": parents,
            "files": {FILE: file_hash(out / FILE)},
        },
    )
    return Concepts(out, manifest, learner, V, kept)


def _one_layer(activations: Activations, layer: int | str | None) -> int | str:
    if layer is None:
        if len(activations.layers) > 1:
            raise UsageError(f"Several layers were extracted: {activations.layers}. Say which one to learn from.")
        return activations.layers[0]
    if isinstance(layer, int) and layer < 0:
        layer += activations.parameters["model"]["n_blocks"] + 1
    return layer


def ordinary(Z: np.ndarray) -> np.ndarray:
    """(n,) bool: rows whose norm is at most `OUTLIER_NORM` times the median norm."""
    norms = np.linalg.norm(Z, axis=1)
    return norms <= OUTLIER_NORM * np.median(norms)


def describe_fit(Z: np.ndarray, V: np.ndarray, learner: learners.Learner) -> dict[str, float]:
    """How well and how sparsely `V` and the concepts stand for `Z`.

    `explained_variance` = 1 − ‖Z − Ẑ‖² / ‖Z − mean Z‖²; `relative_error` = ‖Z − Ẑ‖ / ‖Z‖; `zeros` is the share of
    activations that are zero, `active` the mean number of concepts that are not, per sample; `dead` counts concepts
    that no sample activates.
    """
    Z = Z.astype(np.float64)
    residual = np.sum((Z - learner.inverse_transform(V)) ** 2)
    total = np.sum((Z - Z.mean(0)) ** 2)
    return {
        "explained_variance": float(1 - residual / total) if total > 0 else float(residual == 0),
        "relative_error": float(np.sqrt(residual / max(np.sum(Z**2), np.finfo(float).tiny))),
        "zeros": float(np.mean(V == 0)),
        "active": float(np.mean(np.sum(V != 0, axis=1))),
        "dead": int(np.sum(~np.any(V != 0, axis=0))),
    }


def open_concepts(folder: str | Path, activations: Activations | None = None) -> Concepts:
    """The concepts in `folder`; when `activations` are given, they must be the ones that it was made from.

    Raises:
        ArtifactError: missing, damaged, newer, or made from other activations.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, KIND)
    path = folder / FILE
    try:
        if file_hash(path) != manifest["files"][FILE]:
            raise ArtifactError(
                f"{path} is damaged: its contents are not what was written. Remove {folder} and learn again."
            )
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"{path} is damaged or missing ({error}). Remove {folder} and learn again.") from error
    if activations is not None:
        check_parent(folder, manifest, activations.folder, "activations")
    own = {k.removeprefix("learner."): v for k, v in tensors.items() if k.startswith("learner.")}
    return Concepts(folder, manifest, learners.load(own, manifest["learner"]), tensors["V"], tensors["kept"])
