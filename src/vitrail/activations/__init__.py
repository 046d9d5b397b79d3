"""Activations: the states of a word on disk, and how they are read in pieces.

options.py  how states are extracted, as one value
row.py     where a state comes from
store.py   a folder of safetensors shards and Parquet rows: written, opened, read
rows.py    the states of one layer, a piece at a time
"""

from vitrail.activations.options import ExtractionOptions, Require
from vitrail.activations.row import Row
from vitrail.activations.store import Activations, Counts, Store, open_activations, read_states

__all__ = ["Activations", "Counts", "ExtractionOptions", "Require", "Row", "Store", "open_activations", "read_states"]
