"""Sweeps: how concepts change with their number K and their sparsity λ, as numbers and as a plot.

options.py what is tried, and how it is measured
run.py     `sweep`: learns at every K and λ, measures (`concepts.choosing`), and writes
plot.py    the numbers as a plot
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
