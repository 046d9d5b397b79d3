"""Scorers: what turns images and texts into embeddings for CLIPScore, and texts into token embeddings for BERTScore.

Any CLIP, SigLIP, FLAVA or the like of transformers by name or folder; CoCa and the rest by
`open_clip:MODEL/WEIGHTS`; any text encoder of transformers; and "toyland", the two that are bundled. A text goes to the
model as its own tokenizer makes it (Toyland's makes it lower case and puts a space before its marks), and is cut at the
model's own length, which is logged.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
