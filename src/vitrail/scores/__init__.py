"""Scores: pure functions of arrays and words; they know nothing of models or files.

| file | what |
|---|---|
| `words.py` | overlap, CLIPScore, BERTScore |
| `dictionary.py` | cosines, reconstruction, sparsity, stability |
| `truth.py` | concepts against known factors: AUROC, purity, disentanglement |
| `intervals.py` | bootstrap intervals, permutation tests, correction for many tests |
"""

from vitrail.scores.dictionary import (
    best_of_row,
    cosines,
    dead,
    explained_variance,
    hoyer,
    l0,
    matched_cosine,
    pairwise_cosine,
)
from vitrail.scores.intervals import Estimate, corrected, estimate, exceeded, paired_p, unpaired_gain, unpaired_p
from vitrail.scores.truth import (
    Disentanglement,
    FactorMatrix,
    HeldOut,
    Value,
    auroc,
    disentanglement,
    factor_matrix,
    held_out,
    permuted_level,
    purity,
)
from vitrail.scores.words import (
    CAPTION_PROMPT,
    WORDS_PROMPT,
    BertScore,
    bert_score,
    clip_score,
    overlap,
    overlap_matrix,
    words_text,
)

__all__ = [
    "CAPTION_PROMPT",
    "WORDS_PROMPT",
    "BertScore",
    "Disentanglement",
    "Estimate",
    "FactorMatrix",
    "HeldOut",
    "Value",
    "auroc",
    "bert_score",
    "best_of_row",
    "clip_score",
    "corrected",
    "cosines",
    "dead",
    "disentanglement",
    "estimate",
    "exceeded",
    "explained_variance",
    "factor_matrix",
    "held_out",
    "hoyer",
    "l0",
    "matched_cosine",
    "overlap",
    "overlap_matrix",
    "paired_p",
    "pairwise_cosine",
    "permuted_level",
    "purity",
    "unpaired_gain",
    "unpaired_p",
    "words_text",
]
