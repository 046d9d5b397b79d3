"""Maps: where in an image concepts come from.

options.py     how maps are made
question.py    what is asked of a method: images, what the model said of them, and targets
methods/       the methods, each in a file, and the list of all of them
tokens.py      the image's own tokens: where each lies, and its words
image_maps.py  the maps of one image, in its coordinates
run.py         images → maps
artifact.py    the maps of the images that activate concepts most, kept beside a study
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
