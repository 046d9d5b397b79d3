"""Analyses of the published code → concepts of imported activations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from vitrail import learners
from vitrail.activations import Activations
from vitrail.concepts import LearningOptions, adopt_concepts
from vitrail.errors import ArtifactError, UsageError
from vitrail.importing.files import Released
from vitrail.importing.report import Imported
from vitrail.lmm import Layer

#: What the published code calls a method → our name.
METHODS = {"snmf": "semi-nmf", "nndl": "semi-nmf", "kmeans": "kmeans", "pca": "pca", "simple": "simple"}
#: λ of the published code: scikit-learn's alpha of 1 is a λ of 2 here.
PENALTY = 2.0


def import_concepts(
    file: Released, activations: Activations, *, out: str | Path, layer: Layer | None = None, method: str | None = None
) -> Imported:
    """The concepts of an analysis, with their activations on `activations`, in the folder `out`.

    Activations are computed again, since ours are exact; how far they are from those of the file is reported.

    Args:
        activations: the imported features that the analysis was made of, in the same order.
        layer: of these; may be None when there is one.
        method: as the file would call it, where it does not say.

    Raises:
        ArtifactError: the file does not say its method, or has other samples than `activations`.
        UsageError: an unknown method, or concepts of another width than the states.
    """
    U, theirs = (np.asarray(file.content[name], np.float32) for name in ("concepts", "activations"))
    said = file.content.get("decomposition_method") or method
    if said is None:
        raise ArtifactError(f"{file.path} does not say how its concepts were learned: name it with --method.")
    if said not in METHODS and said not in METHODS.values():
        raise UsageError(f"Unknown method {said!r}: expected one of {', '.join(METHODS)}.")
    if theirs.shape != (len(activations), len(U)):
        raise ArtifactError(
            f"{file.path} has activations of shape {theirs.shape}, but there are {len(activations)} imported states "
            f"and {len(U)} concepts. Import the features that the analysis was made of."
        )
    name = METHODS.get(said, said)
    penalty = PENALTY if name == "semi-nmf" else None
    options = LearningOptions(layer, name, len(U), penalty, stability=0, form="paper")
    made = adopt_concepts(activations, _learner(name, U, penalty, activations, layer), options, out=out)
    far = np.linalg.norm(made.V - theirs[made.kept]) / max(float(np.linalg.norm(theirs)), 1e-12)
    found = (f"{len(U)} concepts by {said}", f"activations differ from those of the file by {100 * far:.2g} % (norm)")
    return Imported("analysis", made.folder, found, ("the seed", "stability"))


def _learner(
    name: str, U: Float[np.ndarray, "k d"], penalty: float | None, activations: Activations, layer: Layer | None
) -> learners.Learner:
    """A learner that has the concepts `U`, and what else it would know had it learned them from the states."""
    learner = learners.make_learner(name, len(U), penalty=penalty, form="paper")
    Z = activations.states(activations.layers[0] if layer is None else layer)
    if isinstance(learner, learners.SemiNMF):
        return learner.adopt(U, learners.ArrayRows(Z))
    values: dict[str, Any] = {"components_": np.ascontiguousarray(U), "n_features_in_": U.shape[1]}
    if isinstance(learner, learners.KMeans):
        nearest = ((Z[:, None] - U[None]) ** 2).sum(-1).min(1)
        values["inertia_"] = float(nearest.sum())
    elif isinstance(learner, learners.PCA):
        mean = Z.mean(0)
        values |= {"mean_": mean, "explained_variance_": ((Z - mean) @ U.T).var(0, ddof=1).astype(Z.dtype)}
    for attribute, value in values.items():
        setattr(learner, attribute, value)
    return learner
