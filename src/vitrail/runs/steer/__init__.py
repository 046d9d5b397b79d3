"""What the commands of `vitrail steer` do, one call each.

make.py      a steering from a task (`vitrail.make_steering`), from a study, or from a file of vectors
apply.py     what a model says before and after, and a gallery
search.py    where and how strongly, with its page
evaluate.py  steerings and baselines side by side, with their page
rank.py      fine vectors between the concepts of a study
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
