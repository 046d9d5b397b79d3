"""Studies: the artifacts of one word that belong together, and the same study made again.

artifact.py   a study on disk
notes.py      what people write to it: names of concepts, sets of samples
again.py      made again with another model, on other samples, or on images of noise
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
