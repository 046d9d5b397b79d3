"""Scores: pure functions of arrays and words, which know nothing of models or files.

| file | what |
|---|---|
| `grounding.py` | of words: overlap, CLIPScore, BERTScore |
| `dictionary.py` | cosines, reconstruction, sparsity, stability |
| `factors.py` | concepts against known factors: AUROC, disentanglement |
| `properties.py` | how well states and activations tell properties of new samples |
| `texts.py` | generated texts: CIDEr-D, BLEU, METEOR, VQA accuracy, diversity, repetition |
| `maps.py` | maps of images: pointing, energy and overlap with a mask, curves, controls |
| `intervals.py` | bootstrap intervals, permutation tests, correction for many tests |
| `verdicts.py` | what follows from a number, in words |
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
