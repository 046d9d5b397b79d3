"""Activations: the states of a word on disk, and how they are read in pieces.

options.py  how states are extracted, as one value
row.py     where a state comes from
store.py   a folder of safetensors shards and Parquet rows: written, opened, read
many.py    states of many words in one folder
moments.py means, covariances and Gram matrices of states that are not kept
streaming.py  the states of one layer as a data set of torch
rows.py    the states of one layer, a piece at a time
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
