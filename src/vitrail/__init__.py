"""Vitrail opens large multimodal models: it finds the concepts behind a word that the model says.

    import vitrail

    lmm = vitrail.load("toyland")
    study = vitrail.study(lmm, vitrail.load_samples("toyland"), "dog", out="studies/dog")
    study.grounding[0].words

The names below are the public ones. They are imported when they are first used, so that `import vitrail` costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vitrail.activations import Activations, open_activations
    from vitrail.concepts import Concepts, learn, open_concepts
    from vitrail.errors import (
        ArtifactError,
        DataError,
        ModelError,
        NumericsError,
        UsageError,
        VitrailError,
        WordError,
    )
    from vitrail.explain import Explanation, explain
    from vitrail.extract import extract
    from vitrail.ground import Grounding, ground, open_grounding
    from vitrail.lmm import LMM, load
    from vitrail.report import report
    from vitrail.samples import Sample, load_samples
    from vitrail.study import Study, open_study, study
    from vitrail.words import Word

_HOMES = {
    "activations": ("Activations", "open_activations"),
    "concepts": ("Concepts", "learn", "open_concepts"),
    "errors": (
        "ArtifactError", "DataError", "ModelError", "NumericsError", "UsageError", "VitrailError", "WordError",
    ),
    "explain": ("Explanation", "explain"),
    "extract": ("extract",),
    "ground": ("Grounding", "ground", "open_grounding"),
    "lmm": ("LMM", "load"),
    "report": ("report",),
    "samples": ("Sample", "load_samples"),
    "study": ("Study", "open_study", "study"),
    "words": ("Word",),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'vitrail' has no attribute {name!r}")
    return getattr(importlib.import_module(f"vitrail.{_HOME_OF[name]}"), name)


class _Package(ModuleType):
    """Keeps `vitrail.extract` the function: importing the module of that name would put the module in its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return [*globals(), *__all__]
