"""Concepts: what a learner finds in activations, on disk.

options.py     how concepts are learned
choosing.py    how many concepts, and how sparse
learning.py    `learn`, and the concepts it writes
named.py       concepts that are named, before the others are found
shared.py      one dictionary over several words
stability.py   whether concepts come back from other seeds and samples
over_ray.py    learning on many machines
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
