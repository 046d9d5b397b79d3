"""Trials: what a steering does, measured.

texts.py        what a model says, and how probable texts are to it
losses.py       what texts lost: fluency, length, fit to the references; whether they are broken
judge.py        the effect and the side effects of one steering
outcome.py      these figures, as values and as JSON
narrowness.py   whether an intervention makes one change and no other
grid_search.py  where and how strongly: chosen on one half of the samples, reported on the other
contenders.py   steerings and baselines in one form
lora.py         LoRA with as many parameters as a steering
contest.py      contenders side by side
options.py      how a search goes, and a comparison with baselines
speed.py        the time of their generation
levels.py       what is said at several strengths
gallery.py      the same, with its images
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
