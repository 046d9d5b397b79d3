"""Evaluation: are concepts really grounded? The papers' scores, with controls, intervals and known factors.

options.py              data, scorers and options
results.py              scores, as values
one_study.py            the scores of one study
methods.py, curves.py   several methods side by side; curves by layer and by number of concepts
protocols.py            words on the images of concepts, and on held-out images
measures.py, embeddings.py, control_words.py                 CLIPScore and BERTScore; their inputs; control words
dictionary_scores.py, factor_scores.py, ablation.py          the dictionary; known factors; captions without a concept
released.py             the procedure of CoX-LMM's released code
"""

from vitrail.evaluation.methods import MethodComparison, open_method_comparison, score_methods
from vitrail.evaluation.one_study import Evaluation, EvaluationFolders, open_evaluation, score_study
from vitrail.evaluation.options import EvaluationData, EvaluationOptions, Lexicon, MethodOptions, Scorers
from vitrail.evaluation.results import EvaluationScores

__all__ = [
    "Evaluation",
    "EvaluationData",
    "EvaluationFolders",
    "EvaluationOptions",
    "EvaluationScores",
    "Lexicon",
    "MethodComparison",
    "MethodOptions",
    "Scorers",
    "open_evaluation",
    "open_method_comparison",
    "score_methods",
    "score_study",
]
