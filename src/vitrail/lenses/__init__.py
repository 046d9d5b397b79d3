"""Lenses: what a state of a middle layer becomes in the last layer, on average; so that words can be read of it.

options.py   how a lens is fitted
artifact.py  a lens on disk, and the map that it is
fitting.py   what one batch of samples tells of the map, and sums of that
run.py       `fit_lens`: a model and samples → a lens
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
