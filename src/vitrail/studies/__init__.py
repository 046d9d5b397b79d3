"""Studies: the artifacts of one word that belong together, and the same study made again.

artifact.py   a study on disk
again.py      made as before, on other samples or with another model
"""

from vitrail.studies.again import same_activations, same_study
from vitrail.studies.artifact import FACTORS, Study, known_factors, open_study

__all__ = ["FACTORS", "Study", "known_factors", "open_study", "same_activations", "same_study"]
