"""Evaluation: are concepts really grounded? The papers' scores, with controls, intervals and known factors.

inputs.py               data and scorers
options.py              which controls, which methods
results.py              scores, as values
one_study.py            the scores of one study
methods.py, curves.py   several methods side by side; curves by layer and by number of concepts
protocols.py            words on the images of concepts, and on held-out images
measures.py, embeddings.py, control_words.py                 CLIPScore and BERTScore; their inputs; control words
dictionary_scores.py, property_scores.py, ablation.py          the dictionary; what it holds; captions without a concept
released.py             the procedure of CoX-LMM's released code
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
