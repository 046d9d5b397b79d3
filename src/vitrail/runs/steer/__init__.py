"""What the commands of `vitrail steer` do, one call each.

apply.py     what a model says before and after, what that cost, and a gallery
search.py    where and how strongly, with its page
evaluate.py  steerings and baselines side by side, with their page

`make` calls `vitrail.steering`, `rank` calls `vitrail.trials`: they write no page.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
