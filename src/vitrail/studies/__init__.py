"""Studies: the artifacts of one word that belong together, and the same study made again.

artifact.py   a study on disk
again.py      made again with another model, on other samples, or on images of noise
"""

from vitrail.studies.again import (
    noise_activations,
    noise_samples,
    noise_study,
    own_samples,
    same_activations,
    same_study,
    samples_of_rows,
    study_as,
    unseen_activations,
    unseen_samples,
)
from vitrail.studies.artifact import FACTORS, Study, as_study, known_factors, open_study

__all__ = [
    "FACTORS",
    "Study",
    "as_study",
    "known_factors",
    "noise_activations",
    "noise_samples",
    "noise_study",
    "open_study",
    "own_samples",
    "same_activations",
    "same_study",
    "samples_of_rows",
    "study_as",
    "unseen_activations",
    "unseen_samples",
]
