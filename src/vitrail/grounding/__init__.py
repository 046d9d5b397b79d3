"""Grounding: concepts in words and in images.

artifact.py   a grounding on disk, and how it was made
reader.py     directions → words
captions.py   what the images of a concept share, by their captions
run.py        `ground`: words and most activating samples of every concept
"""

from vitrail.grounding.artifact import (
    CaptionWord,
    GroundedConcept,
    GroundedConcepts,
    GroundedSample,
    GroundedWord,
    Grounding,
    GroundingOptions,
    open_grounding,
)
from vitrail.grounding.reader import WordReader
from vitrail.grounding.run import check_model, ground, ground_as, most_activating, share_of_samples, word_reader

__all__ = [
    "CaptionWord",
    "GroundedConcept",
    "GroundedConcepts",
    "GroundedSample",
    "GroundedWord",
    "Grounding",
    "GroundingOptions",
    "WordReader",
    "check_model",
    "ground",
    "ground_as",
    "most_activating",
    "open_grounding",
    "share_of_samples",
    "word_reader",
]
