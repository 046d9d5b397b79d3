"""Saying: samples → what a model says of each, kept by itself, so that many words, layers and studies read it.

options.py    how a model is asked
asking.py     samples whose images are opened, and what a model here says of them
endpoint.py   a model behind a server that speaks the protocol of OpenAI's chat completions
texts.py      what was said, on disk: our own artifact, or a JSONL file of captions
run.py        `say`: shard after shard, into a folder that goes on where it was stopped
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
