"""Comparing a model before and after fine-tuning (Khayatan et al., ICCV 2025): which concepts were refined, emerged,
split, merged or faded, and how far shift vectors recover the change without training.

align.py      the same samples in both
shift.py      pure: A_k, δ_m, Δ_k for prototypes and for atoms; consistency, magnitude
match.py      pure: which concept answers to which
change.py     pure: what became of each
recovery.py   pure: before and after the shift, controls, the sweep over α
intervals.py  pure: bootstrap intervals, paired tests, correlations
whole.py      two models on the same images, before a word is asked for
follow.py     by layer, and along the checkpoints of a fine-tune
other.py      the study of another model, made as a given one was
both.py       two studies on their common samples
telling.py    what is said of their concepts, as plain values
artifact.py   a comparison on disk
run.py        `compare`, put together
"""

from vitrail.comparison.artifact import Shift, open_shift
from vitrail.comparison.changes import Rules
from vitrail.comparison.series import Point, along, by_layer
from vitrail.comparison.studies import compare
from vitrail.comparison.whole_model import Whole, whole_model
from vitrail.studies.again import same_activations, same_study

__all__ = [
    "Point",
    "Rules",
    "Shift",
    "Whole",
    "along",
    "by_layer",
    "compare",
    "open_shift",
    "same_activations",
    "same_study",
    "whole_model",
]
