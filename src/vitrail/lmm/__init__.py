"""Large multimodal models: the one part that knows transformers. Load, parts, prompts, batches, generation, states.

lmm = load("llava-hf/llava-1.5-7b-hf")       # any image-text-to-text model of transformers
lmm = adopt(captioner, "mine")               # any torch module that is a `Captioner`
lmm = LMM(backend, "mine")                   # anything that answers: a `Backend`, without states
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
