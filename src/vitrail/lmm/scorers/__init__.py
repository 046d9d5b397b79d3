"""Scorers: what turns images and texts into embeddings for CLIPScore, and texts into token embeddings for BERTScore.

Any CLIP, SigLIP, FLAVA or the like of transformers by name or folder; CoCa and the rest by
`open_clip:MODEL/WEIGHTS`; any text encoder of transformers; and "toyland", the two that are bundled. A text goes to the
model as its own tokenizer makes it (Toyland's makes it lower case and puts a space before its marks), and is cut at the
model's own length, which is logged.
"""

from vitrail.lmm.scorers.images import ImageTextScorer, load_image_scorer
from vitrail.lmm.scorers.texts import TextScorer, load_text_scorer

__all__ = ["ImageTextScorer", "TextScorer", "load_image_scorer", "load_text_scorer"]
