"""Grounding: concepts in words and in images.

artifact.py   a grounding on disk, and how it was made
reader.py     directions → words
captions.py   what the images of a concept share, by their captions
logit.py      what concepts hold of the logit of the word
run.py        `ground`: words and most activating samples of every concept
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
