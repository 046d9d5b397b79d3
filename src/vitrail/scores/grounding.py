"""Scores of the words of concepts: how much concepts share words, and how well words fit images and captions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Real

#: What CoX-LMM's released code puts before the words of a concept for CLIPScore.
WORDS_PROMPT = "A photo is described by the words "
#: What CLIPScore's authors put before a caption (Hessel et al. 2021, section 3).
CAPTION_PROMPT = "A photo depicts "
#: CLIPScore's rescaling, `w` (Hessel et al. 2021, equation 1).
CLIPSCORE_WEIGHT = 2.5


def overlap_matrix(word_sets: Sequence[Collection[str]]) -> Float[np.ndarray, "k k"]:
    """Row *k*, column *l*: the share of the words of concept *k* that concept *l* also has, `|T_l ∩ T_k| / |T_k|`.

    The diagonal is 1. The row of a concept without words is 0.

    >>> overlap_matrix([{"red", "blue"}, {"red"}]).tolist()
    [[1.0, 0.5], [1.0, 1.0]]
    """
    sets = [frozenset(words) for words in word_sets]
    shared = [[len(mine & theirs) / max(len(mine), 1) for theirs in sets] for mine in sets]
    return np.array(shared, dtype=float).reshape(len(sets), len(sets))


def overlap(word_sets: Sequence[Collection[str]]) -> float:
    """The share of words that concepts have in common, from 0 (none) to 1 (all): `Overlap` of CoX-LMM.

    `Overlap(U) = 1/K Σ_k 1/(K−1) Σ_{l≠k} |T_l ∩ T_k| / |T_k|` (Parekh et al. 2024). A single concept has 0.

    >>> overlap([{"red", "blue"}, {"red"}])
    0.75
    """
    k = len(word_sets)
    if k < 2:
        return 0.0
    matrix = overlap_matrix(word_sets)
    return float((matrix.sum() - matrix.trace()) / (k * (k - 1)))


def words_text(words: Sequence[str]) -> str:
    """The words of a concept as one text, with commas between them.

    >>> words_text(["black", "small"])
    'black, small'
    """
    return ", ".join(words)


def clip_score(images: Real[np.ndarray, "n d"], texts: Real[np.ndarray, "m d"]) -> Real[np.ndarray, "n m"]:
    """CLIPScore of every image with every text, `2.5 · max(cos, 0)` (Hessel et al. 2021, equation 1).

    Args:
        images: embeddings of images, of norm 1.
        texts: embeddings of texts, of norm 1.

    Returns:
        Scores from 0 to 2.5.

    >>> clip_score(np.array([[1.0, 0.0]]), np.array([[0.6, 0.8], [-1.0, 0.0]])).tolist()
    [[1.5, 0.0]]
    """
    return CLIPSCORE_WEIGHT * np.maximum(images @ texts.T, 0)


@dataclass(frozen=True)
class BertScore:
    """BERTScore of every candidate with every reference; each entry is at most 1."""

    precision: Float[np.ndarray, "n m"]
    recall: Float[np.ndarray, "n m"]
    f1: Float[np.ndarray, "n m"]


def bert_score(
    candidates: Sequence[Real[np.ndarray, "_ d"]], references: Sequence[Real[np.ndarray, "_ d"]], block: int = 4096
) -> BertScore:
    """BERTScore of every candidate with every reference (Zhang et al. 2020, section 3).

    `R = 1/|x| Σ_i max_j x_i·x̂_j`, `P = 1/|x̂| Σ_j max_i x_i·x̂_j`, `F1 = 2PR/(P+R)`: greedy matching, without idf
    weights, without rescaling.

    Args:
        candidates: for each candidate x̂ the embeddings of its tokens (n_tokens, d), of norm 1, without special tokens.
        references: the same for each reference x.
        block: how many reference tokens are compared at once; bounds the memory.

    Raises:
        ValueError: a text has no tokens, so that nothing can be matched to it.
    """
    if any(not len(text) for text in (*candidates, *references)):
        raise ValueError("BERTScore needs texts of at least one token; got an empty one")
    n, m = len(candidates), len(references)
    precision, recall = np.zeros((n, m)), np.zeros((n, m))
    if not n or not m:
        return BertScore(precision, recall, np.zeros((n, m)))
    tokens = np.concatenate(candidates)
    lengths = np.array([len(text) for text in candidates])
    starts = np.r_[0, np.cumsum(lengths)[:-1]]
    sizes = np.array([len(text) for text in references])
    part = (np.cumsum(sizes) - 1) // block
    for number in np.unique(part):
        some = np.flatnonzero(part == number)
        ends = np.cumsum(sizes[some])
        begins = np.r_[0, ends[:-1]]
        similar = tokens @ np.concatenate([references[int(i)] for i in some]).T
        of_candidates = np.maximum.reduceat(similar, begins, axis=1)
        precision[:, some] = np.add.reduceat(of_candidates, starts, axis=0) / lengths[:, None]
        of_references = np.maximum.reduceat(similar, starts, axis=0)
        recall[:, some] = np.add.reduceat(of_references, begins, axis=1) / sizes[some]
    total = precision + recall
    positive = total > 0
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=positive)
    return BertScore(precision, recall, f1)
