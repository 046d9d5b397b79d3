"""Concepts: what a learner finds in activations, on disk.

learning.py    `learn`, and the concepts it writes
stability.py   whether concepts come back from other seeds and samples
over_ray.py    learning on many machines
"""

from vitrail.concepts.learning import (
    Concepts,
    LearningOptions,
    describe_fit,
    learn,
    learn_as,
    one_layer,
    open_concepts,
    ordinary,
)

__all__ = ["Concepts", "LearningOptions", "describe_fit", "learn", "learn_as", "one_layer", "open_concepts", "ordinary"]
