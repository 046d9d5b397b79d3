"""Vitrail opens large multimodal models: it finds the concepts behind a word that the model says.

    import vitrail

    study = vitrail.study("toyland", "toyland", "dog")
    study.report()
    study.concepts[3].words

The public names are listed in `__init__.pyi`, by the step of the line. They are imported when they are first used, so
that `import vitrail` costs nothing.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
