"""Sharing: what was found, for other tools to show: experiment trackers, FiftyOne, Evidently. None of them is needed.

summary.py   scores and concepts of a study, a comparison, a steering, as one value
trackers.py  where that goes: TensorBoard, MLflow, Weights & Biases, or a function
exports.py   the files of other tools
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
