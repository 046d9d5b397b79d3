"""Large multimodal models: the one part that knows transformers. Load, parts, prompts, batches, generation, states.

lmm = load("llava-hf/llava-1.5-7b-hf")       # any image-text-to-text model of transformers
lmm = adopt(captioner, "mine")               # any torch module that is a `Captioner`
lmm = LMM(backend, "mine")                   # anything that answers: a `Backend`, without states
"""

from vitrail.lmm.adapters import is_adapter
from vitrail.lmm.backend import Backend, Generation, Layer
from vitrail.lmm.batches import Batch
from vitrail.lmm.captioner import Captioner, adopt
from vitrail.lmm.description import ModelDescription
from vitrail.lmm.families import DEFAULT_PROMPT
from vitrail.lmm.loading import DType, as_lmm, from_transformers, load, load_as, quieten
from vitrail.lmm.model import LMM
from vitrail.lmm.parts import Parts, find_parts, fingerprint
from vitrail.lmm.placement import Placement

__all__ = [
    "DEFAULT_PROMPT",
    "LMM",
    "Backend",
    "Batch",
    "Captioner",
    "DType",
    "Generation",
    "Layer",
    "ModelDescription",
    "Parts",
    "Placement",
    "adopt",
    "as_lmm",
    "find_parts",
    "fingerprint",
    "from_transformers",
    "is_adapter",
    "load",
    "load_as",
    "quieten",
]
