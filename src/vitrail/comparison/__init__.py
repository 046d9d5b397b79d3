"""Comparing a model before and after fine-tuning (Khayatan et al., ICCV 2025): which concepts were refined, emerged,
split, merged or faded, and how far shift vectors recover the change without training.

shift_vectors.py     pure: A_k, δ_m, Δ_k for prototypes and for atoms; consistency, magnitude
matching.py          pure: which concepts correspond, by cosine and by samples
changes.py           pure: what became of each concept
recovery.py          pure: before and after the shift, controls, the curve over α
pairs.py             the samples that both activations have
aligned.py           two studies on their common samples
options.py           how two studies are compared
layers.py            the comparison at every layer, and at every checkpoint of a fine-tune
models.py            two models on the same images, before any word is asked for
artifact.py          a comparison on disk
concept_changes.py   what is reported of each concept
studies.py           two studies → a comparison
"""

from vitrail.comparison.artifact import Comparison, ConceptChange, Findings, open_comparison
from vitrail.comparison.changes import ChangeRules
from vitrail.comparison.layers import LayerComparison, compare_checkpoints, compare_layers
from vitrail.comparison.models import ModelComparison, compare_models
from vitrail.comparison.options import ComparisonOptions
from vitrail.comparison.studies import WiderViews, check_studies, compare_studies

__all__ = [
    "ChangeRules",
    "Comparison",
    "ComparisonOptions",
    "ConceptChange",
    "Findings",
    "LayerComparison",
    "ModelComparison",
    "WiderViews",
    "check_studies",
    "compare_checkpoints",
    "compare_layers",
    "compare_models",
    "compare_studies",
    "open_comparison",
]
