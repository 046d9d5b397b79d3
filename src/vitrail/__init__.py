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
    from vitrail.compare import (
        Rules,
        Shift,
        Whole,
        along,
        by_layer,
        compare,
        open_shift,
        same_activations,
        same_study,
        whole_model,
    )
    from vitrail.concepts import Concepts, learn, open_concepts
    from vitrail.doctor import Diagnosis, doctor
    from vitrail.errors import (
        ArtifactError,
        DataError,
        ModelError,
        NumericsError,
        UsageError,
        VitrailError,
        WordError,
    )
    from vitrail.evaluate import Comparison, Evaluation, compare_methods, evaluate, open_evaluation
    from vitrail.explain import Explanation, explain
    from vitrail.extract import extract
    from vitrail.finetune import TOPICS, Example, Tuned, captions_about, captions_of, finetune, open_tuned
    from vitrail.ground import Grounding, ground, open_grounding
    from vitrail.lmm import LMM, Captioner, adopt, load
    from vitrail.report import report
    from vitrail.samples import Sample, load_samples
    from vitrail.scorers import load_image_scorer, load_text_scorer
    from vitrail.steer import (
        Activation,
        Add,
        Clamp,
        FromContext,
        Function,
        ProjectOut,
        Steering,
        When,
        make_vector,
        open_steering,
        steer,
    )
    from vitrail.study import Study, open_study, study
    from vitrail.vocabulary import counts, frequent_nouns, frequent_words, having, inflections, with_ids
    from vitrail.words import Word

_HOMES = {
    "activations": ("Activations", "open_activations"),
    "compare": (
        "Rules", "Shift", "Whole", "along", "by_layer", "compare", "open_shift", "same_activations", "same_study",
        "whole_model",
    ),
    "concepts": ("Concepts", "learn", "open_concepts"),
    "doctor": ("Diagnosis", "doctor"),
    "errors": (
        "ArtifactError", "DataError", "ModelError", "NumericsError", "UsageError", "VitrailError", "WordError",
    ),
    "evaluate": ("Comparison", "Evaluation", "compare_methods", "evaluate", "open_evaluation"),
    "explain": ("Explanation", "explain"),
    "extract": ("extract",),
    "finetune": ("TOPICS", "Example", "Tuned", "captions_about", "captions_of", "finetune", "open_tuned"),
    "ground": ("Grounding", "ground", "open_grounding"),
    "lmm": ("LMM", "Captioner", "adopt", "load"),
    "report": ("report",),
    "samples": ("Sample", "load_samples"),
    "scorers": ("load_image_scorer", "load_text_scorer"),
    "steer": (
        "Activation", "Add", "Clamp", "FromContext", "Function", "ProjectOut", "Steering", "When", "make_vector",
        "open_steering", "steer",
    ),
    "study": ("Study", "open_study", "study"),
    "vocabulary": ("counts", "frequent_nouns", "frequent_words", "having", "inflections", "with_ids"),
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
