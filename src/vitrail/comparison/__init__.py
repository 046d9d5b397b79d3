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

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
