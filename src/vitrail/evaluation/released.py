"""The procedure of CoX-LMM's released code, restated, so that its numbers can be had from the same states.

Where it departs from the paper and from ours is written in `docs/evaluation.md`. The list of English words and that of
stop words are ours: theirs come from a corpus that must be downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from vitrail import words
from vitrail.evaluation.embeddings import Embeddings
from vitrail.lmm import LMM
from vitrail.samples import Sample
from vitrail.scores import WORDS_PROMPT, clip_score


def released_scores(
    lmm: LMM, U: np.ndarray, embeddings: Embeddings, samples: Sequence[Sample], V: np.ndarray, n_words: int = 10
) -> dict[str, Any]:
    """What the released code says of concepts `U` (n_concepts, n_features) and of the activations `V` of test samples:
    the words of `W_U u_k` (no final norm, whatever the layer), their overlap, and the CLIPScore of test images."""
    logits = lmm.logits(torch.from_numpy(np.asarray(U, np.float32)), "final").cpu().numpy()
    lists = released_words(logits, lambda i: words.decode(lmm.tokenizer, [i]), n_words=n_words)
    found = released_clipscore(embeddings, lists, samples, V)
    return {"words": lists, "overlap": released_overlap(lists), **found}


def released_words(
    logits: np.ndarray, decode: Callable[[int], str], *, n_words: int = 10, n_tokens: int = 50
) -> list[list[str]]:
    """Words of concepts: of the `n_tokens` largest of `logits` (n_concepts, vocabulary) those that are valid, lower
    case, the first `n_words`.

    Pieces inside words count, a word may be there twice ("Dog", "dog"), and there may be fewer than asked for.
    """
    lists = []
    for row in logits:
        texts = [decode(int(i)) for i in np.argsort(-row, kind="stable")[:n_tokens]]
        lists.append([text.lower().strip() for text in texts if valid_word(text)][:n_words])
    return lists


def valid_word(text: str) -> bool:
    """English, longer than two letters and no stop word; or whatever Python reads as a number ("nan" is one)."""
    return words.is_word(text) or _is_number(text.lower().strip())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def released_overlap(lists: Sequence[Sequence[str]]) -> float:
    """Overlap over lists, not sets: a word that is there twice counts twice."""
    k = len(lists)
    total = sum(
        sum(w in other for w in mine) / len(mine)
        for i, mine in enumerate(lists)
        for j, other in enumerate(lists)
        if i != j and mine
    )
    return total / (k * (k - 1)) if k > 1 else 0.0


def released_clipscore(
    embeddings: Embeddings, lists: Sequence[Sequence[str]], samples: Sequence[Sample], V: np.ndarray
) -> dict[str, float]:
    """CLIPScore of test images: `{"top_1_mean", "top_1_std", "top_3_mean", "top_3_std"}`.

    The text ends in a full stop. The most active concepts are the last of numpy's `argsort`, whether active or not;
    their scores are averaged per image, then over images.
    """
    k = min(5, V.shape[1])
    order = V.argsort(axis=1)[:, -k:]
    # theirs cuts the last two characters, ", ", and puts a full stop; of no words a full stop is left
    texts = [WORDS_PROMPT + ", ".join(words) + "." for words in lists]
    all_scores = clip_score(embeddings.images(samples), embeddings.texts(texts))
    scores = np.take_along_axis(all_scores, order, axis=1)
    found: dict[str, float] = {}
    for m in (1, 3):
        each = scores[:, -m:].mean(axis=1)
        found |= {f"top_{m}_mean": float(each.mean()), f"top_{m}_std": float(each.std())}
    return found
