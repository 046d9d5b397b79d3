"""Scores: pure functions of arrays and words, which know nothing of models or files.

| file | what |
|---|---|
| `grounding.py` | of words: overlap, CLIPScore, BERTScore |
| `dictionary.py` | cosines, reconstruction, sparsity, stability |
| `factors.py` | concepts against known factors: AUROC, purity, disentanglement |
| `texts.py` | generated texts: CIDEr-D, BLEU, VQA accuracy, diversity |
| `intervals.py` | bootstrap intervals, permutation tests, correction for many tests |
| `verdicts.py` | what follows from a number, in words |
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
    unit,
)
from vitrail.scores.factors import (
    Disentanglement,
    FactorMatrix,
    HeldOut,
    KnownFactors,
    Value,
    auroc,
    disentanglement,
    factor_matrix,
    held_out,
    permuted_level,
    purity,
)
from vitrail.scores.grounding import (
    CAPTION_PROMPT,
    WORDS_PROMPT,
    BertScore,
    bert_score,
    clip_score,
    overlap,
    overlap_matrix,
    words_text,
)
from vitrail.scores.intervals import (
    Alternative,
    Correlation,
    Estimate,
    corrected,
    correlation,
    estimate,
    exceeded,
    median_estimate,
    paired_p,
    unpaired_gain,
    unpaired_p,
)
from vitrail.scores.texts import bleu, cider_d, distinct, normal_answer, tokens, vqa_accuracy
from vitrail.scores.verdicts import Verdict

__all__ = [
    "CAPTION_PROMPT",
    "WORDS_PROMPT",
    "Alternative",
    "BertScore",
    "Correlation",
    "Disentanglement",
    "Estimate",
    "FactorMatrix",
    "HeldOut",
    "KnownFactors",
    "Value",
    "Verdict",
    "auroc",
    "bert_score",
    "best_of_row",
    "bleu",
    "cider_d",
    "clip_score",
    "corrected",
    "correlation",
    "cosines",
    "dead",
    "disentanglement",
    "distinct",
    "estimate",
    "exceeded",
    "explained_variance",
    "factor_matrix",
    "held_out",
    "hoyer",
    "l0",
    "matched_cosine",
    "median_estimate",
    "normal_answer",
    "overlap",
    "overlap_matrix",
    "paired_p",
    "pairwise_cosine",
    "permuted_level",
    "purity",
    "tokens",
    "unit",
    "unpaired_gain",
    "unpaired_p",
    "vqa_accuracy",
    "words_text",
]
