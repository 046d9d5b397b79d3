"""What the commands of `vitrail steer` do, one call each.

make.py      a steering from a task (`vitrail.make_steering`), from a study, or from a file of vectors
apply.py     what a model says before and after, and a gallery
search.py    where and how strongly, with its page
evaluate.py  steerings and baselines side by side, with their page
rank.py      fine vectors between the concepts of a study
"""

from vitrail.runs.steer.apply import AppliedSteering, GalleryOptions, apply_steering
from vitrail.runs.steer.evaluate import EvaluationSamples, evaluate_steerings
from vitrail.runs.steer.make import ConceptChoice, steering_from_concepts, steering_from_vectors
from vitrail.runs.steer.rank import FineVector, RankOptions, rank_fine_vectors
from vitrail.runs.steer.search import search_steering

__all__ = [
    "AppliedSteering",
    "ConceptChoice",
    "EvaluationSamples",
    "FineVector",
    "GalleryOptions",
    "RankOptions",
    "apply_steering",
    "evaluate_steerings",
    "rank_fine_vectors",
    "search_steering",
    "steering_from_concepts",
    "steering_from_vectors",
]
