"""Who does the work of a run: this process, one rank of several, or workers of Ray.

options.py   what a user says about it
cluster.py   a connection to Ray
pool.py      workers that each hold a model, and get one shard after the other
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
