"""Large multimodal models: the one part that knows transformers. Load, parts, prompts, batches, generation, states.

lmm = load("llava-hf/llava-1.5-7b-hf")       # any image-text-to-text model of transformers
lmm = adopt(captioner, "mine")               # any torch module that is a `Captioner`
"""

from vitrail.lmm.captioner import Adopted, Captioner, adopt
from vitrail.lmm.description import ModelDescription
from vitrail.lmm.loading import load, quieten
from vitrail.lmm.model import LMM, DType, Generation, Layer
from vitrail.lmm.parts import Parts, find_parts, fingerprint
from vitrail.lmm.prompts import DEFAULT_PROMPT

__all__ = [
    "DEFAULT_PROMPT",
    "LMM",
    "Adopted",
    "Captioner",
    "DType",
    "Generation",
    "Layer",
    "ModelDescription",
    "Parts",
    "adopt",
    "find_parts",
    "fingerprint",
    "load",
    "quieten",
]
