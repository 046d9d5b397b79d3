"""Sweeps: how concepts change with their number K and their sparsity λ, as numbers and as a plot.

run.py     `sweep`: learns at every K and λ, and measures
point.py   what is measured at one K and λ
plot.py    the numbers as a plot
"""

from vitrail.sweep.plot import draw_sweep
from vitrail.sweep.point import MEASURES, SweepPoint
from vitrail.sweep.run import SweepOptions, sweep

__all__ = ["MEASURES", "SweepOptions", "SweepPoint", "draw_sweep", "sweep"]
