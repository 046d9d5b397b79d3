"""Evaluation: is a concept really grounded? The papers' scores, with controls, intervals and a known truth."""

from vitrail.evaluation.methods import Comparison, compare_methods
from vitrail.evaluation.one_study import Evaluation, evaluate, open_evaluation

__all__ = ["Comparison", "Evaluation", "compare_methods", "evaluate", "open_evaluation"]
