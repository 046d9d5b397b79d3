"""Steering: changing what a model says by editing its states.

    with steer(lmm, Add({-1: vector})):
        lmm.caption(images)

interventions.py      what is done to the states
learned_functions.py  interventions by learned functions
apply.py              `steer`, for as long as a `with` block lasts
tasks.py              what to steer towards: topics of captions, answers
contrast.py           examples of what is wanted and of what is not
states.py             states of examples
vectors.py            directions from states
options.py            how a steering is made, and how it is applied
make.py               makes a steering for a task
methods/              the methods, each in a file, and the list of all of them
training.py           trains functions by the loss of answers
artifact.py           a steering on disk, and what a method is
interchange.py        other tools' formats
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
