"""The learners by name, and a fitted learner as plain arrays and JSON.

A new learner is a class in a module of its own, and one entry in `LEARNERS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np

from vitrail.errors import ArtifactError, UsageError
from vitrail.learners.autoencoder import SparseAutoencoder
from vitrail.learners.base import Learner
from vitrail.learners.form import Form
from vitrail.learners.kmeans import KMeans
from vitrail.learners.named import Named, NamedSemiNMF
from vitrail.learners.pca import PCA
from vitrail.learners.semi_nmf import SemiNMF
from vitrail.learners.simple import Simple

LEARNERS: dict[str, type[Learner]] = {"semi-nmf": SemiNMF, "kmeans": KMeans, "pca": PCA, "simple": Simple}
"""Every way to learn concepts, under the name that the command line and the artifacts use."""

#: The name of the learner that is read, not learned: features of a dictionary that others trained.
READ = "sae"


def _saved() -> dict[str, type[Learner]]:
    """Every learner that artifacts hold, by its name there."""
    return {**LEARNERS, READ: SparseAutoencoder, "named semi-nmf": NamedSemiNMF}


def learner_class(name: str) -> type[Learner]:
    """The class of a learner by the name that artifacts use, one that is read and not learned among them."""
    return _saved()[name]


def title_of(name: str) -> str:
    """The name of a learner for readers; a name that this version does not know stays as it is."""
    return _saved()[name].title if name in _saved() else name


def make_learner(
    name: str, n_concepts: int, *, penalty: float | None = None, seed: int = 0, form: Form = "centred"
) -> Learner:
    """An unfitted learner of `n_concepts` concepts.

    Args:
        name: its name in `LEARNERS`.
        n_concepts: the number of concepts, K.
        penalty: λ, for a learner that has a penalty; None for the learner's default.
        seed: for a learner that has random choices.
        form: for a learner that knows both forms.

    Raises:
        UsageError: there is no learner of this name or no such form, or the learner has no penalty and one is given.
    """
    if name not in LEARNERS and name != READ:
        raise UsageError(f"unknown learner {name!r}: expected one of {', '.join(map(repr, LEARNERS))}")
    if form not in get_args(Form):
        raise UsageError(f"unknown form {form!r}: expected one of {', '.join(map(repr, get_args(Form)))}")
    learner = learner_class(name)(n_components=n_concepts)
    known = learner.get_params()
    if "form" in known:
        learner.set_params(form=form)
    if penalty is not None:
        if "penalty" not in known:
            raise UsageError(f"the learner {name!r} has no penalty, got penalty={penalty!r}: leave it out")
        learner.set_params(penalty=penalty)
    if "random_state" in known:
        learner.set_params(random_state=seed)
    return learner


@dataclass(frozen=True)
class State:
    """What `save` makes of a learner beside its tensors: its name, and the values of its parameters and attributes."""

    method: str
    params: dict[str, Any]
    fitted: dict[str, Any]


def save(learner: Learner) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A fitted learner as tensors (for safetensors) and a dict (for JSON), from which `load` makes an equal one.

    Raises:
        UsageError: the learner is not in `LEARNERS`, is not fitted, or its seed is no number.
    """
    names = {cls: name for name, cls in _saved().items()}
    if type(learner) not in names:
        raise UsageError(f"can only save the learners {', '.join(map(repr, LEARNERS))}, got {type(learner).__name__}")
    fitted = {name: value for name, value in vars(learner).items() if name.endswith("_")}
    if "components_" not in fitted:
        raise UsageError(f"cannot save {learner!r} before it is fitted")
    tensors = {
        name: np.ascontiguousarray(value)
        for name, value in fitted.items()
        if np.ndim(value) and name != "feature_names_in_"
    }
    values = {name: _plain(value) for name, value in fitted.items() if name not in tensors}
    params = {name: _plain(v) for name, v in learner.get_params().items() if not isinstance(v, Named)}  # see `upgraded`
    return tensors, {"method": names[type(learner)], "params": params, "fitted": values}


def load(tensors: Mapping[str, np.ndarray], params: Mapping[str, Any]) -> Learner:
    """The fitted learner from what `save` returned; its activations are the same to the last bit.

    Raises:
        ArtifactError: a part is missing, unknown, or of another shape.
    """
    try:
        cls = _saved()[params["method"]]
        settings, fitted = cls.upgraded(params["params"], {**params["fitted"], **tensors})
        learner = cls(**settings)
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"expected a learner as written by save, got {dict(params)!r} ({error!r})") from error
    expected = _fitted_names(cls)
    if fitted.keys() - {"feature_names_in_"} != expected:
        raise ArtifactError(f"expected the fitted values {sorted(expected)} of {cls.__name__}, got {sorted(fitted)}")
    shape = (learner.n_components, fitted["n_features_in_"])
    if np.shape(fitted["components_"]) != shape:
        raise ArtifactError(f"expected components_ of shape {shape}, got {np.shape(fitted['components_'])}")
    if "feature_names_in_" in fitted:
        fitted["feature_names_in_"] = np.array(fitted["feature_names_in_"], dtype=object)
    for name, value in fitted.items():
        setattr(learner, name, value)
    try:
        learner._activate(np.zeros((1, shape[1]), np.float32))
    except (TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"the {cls.title} that was saved does not compute ({error})") from error
    return learner


def _fitted_names(cls: type[Learner]) -> set[str]:
    """The names of the attributes that `fit` sets: those that a learner class annotates and that end in "_"."""
    return {name for base in cls.__mro__ for name in inspect.get_annotations(base) if name.endswith("_")}


def _plain(value: Any) -> Any:
    """The value as a JSON value."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise UsageError(f"cannot write {value!r} as JSON: use a number, for a seed as well")
