"""Extraction: samples + model + word → activations.

run.py      `extract`: shard after shard, into a folder that goes on where it was stopped
reader.py   one shard: what the model says, where the word stands in it, and the states there
"""

from vitrail.extraction.reader import Reader, Reading
from vitrail.extraction.run import extract, extract_as

__all__ = ["Reader", "Reading", "extract", "extract_as"]
