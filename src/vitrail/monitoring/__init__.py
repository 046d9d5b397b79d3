"""Monitoring: a model at work, and the concepts behind the words that it says.

options.py      how a model is watched
live.py         `monitor`: the context in which words are observed
coding.py       states → activations of a study's concepts
observation.py  one observation
sinks/          where observations go
streams.py      what is followed: concepts, novelty, words of the captions
reference.py    `fit_reference`: samples that nothing was learned from, to compare with
summary.py      summaries of windows, which add up
truth.py        `fit_evidence`: is what is said in the picture?
watch.py        `Watch`: the sink that compares, and raises alarms
following.py    `Follow`: concepts along training
alarms.py       what an alarm says: which streams moved, how far, since when
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
