"""Extraction: samples + model + word → activations.

run.py      `extract`: shard after shard, into a folder that goes on where it was stopped
reducing.py `reduce`: the same pass, of which means, covariances or Gram matrices are kept
checks.py   what can be known of samples before a model is loaded
merging.py  what ranks made, completed
worker.py   what of an extraction needs the model, here or in a worker
reader.py   shards: what the model says, where the word stands in it, and the states there
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
