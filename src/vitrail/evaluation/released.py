"""The procedure of CoX-LMM's released code, written again, to compute its numbers from the same states.

`docs/evaluation.md` says where it differs from the paper and from ours. The lists of English words and of stop words
are ours: theirs come from a corpus that must be downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float

from vitrail import words
from vitrail.evaluation.embeddings import Embeddings
from vitrail.evaluation.results import ReleasedScores
from vitrail.lmm import LMM
from vitrail.samples import Sample
from vitrail.scores import WORDS_PROMPT, clip_score


def released_scores(
    lmm: LMM,
    U: Float[np.ndarray, "k d"],
    embeddings: Embeddings,
    samples: Sequence[Sample],
    V: Float[np.ndarray, "n k"],
    n_words: int = 10,
) -> ReleasedScores:
    """The scores of concepts `U` by the released procedure. Words are those of `W_U u_k`, without the final norm
    whatever the layer.

    Args:
        samples: test samples; `V` are their activations.
    """
    logits = lmm.logits(torch.from_numpy(np.asarray(U, np.float32)), "final").cpu().numpy()
    lists = released_words(logits, lambda i: words.decode(lmm.tokenizer, [i]), n_words=n_words)
    found = released_clipscore(embeddings, lists, samples, V)
    return ReleasedScores(lists, released_overlap(lists), **found)


def released_words(
    logits: Float[np.ndarray, "k vocabulary"], decode: Callable[[int], str], *, n_words: int = 10, n_tokens: int = 50
) -> list[list[str]]:
    """The words of each concept, in lower case: the first `n_words` valid ones of the `n_tokens` largest logits.

    Pieces inside words count, a word may be there twice ("Dog", "dog"), and there may be fewer words than `n_words`.
    """
    lists = []
    for row in logits:
        texts = [decode(int(i)) for i in np.argsort(-row, kind="stable")[:n_tokens]]
        lists.append([text.lower().strip() for text in texts if valid_word(text)][:n_words])
    return lists


def valid_word(text: str) -> bool:
    """Whether `text` is an English word of more than two letters and no stop word, or a number to Python, as "nan"."""
    return words.is_word(text) or _is_number(text.lower().strip())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def released_overlap(lists: Sequence[Sequence[str]]) -> float:
    """The overlap of lists, not of sets: a word that is there twice counts twice."""
    k = len(lists)
    total = sum(
        sum(w in other for w in mine) / len(mine)
        for i, mine in enumerate(lists)
        for j, other in enumerate(lists)
        if i != j and mine
    )
    return total / (k * (k - 1)) if k > 1 else 0.0


def released_clipscore(
    embeddings: Embeddings, lists: Sequence[Sequence[str]], samples: Sequence[Sample], V: Float[np.ndarray, "n k"]
) -> dict[str, float]:
    """CLIPScores of test images, named as in `ReleasedScores`.

    The text ends in a full stop. The most active concepts are the last of numpy's `argsort`, whether active or not;
    their scores are averaged per image, then over images.
    """
    k = min(5, V.shape[1])
    order = V.argsort(axis=1)[:, -k:]
    # their code replaces the last two characters, ", ", by a full stop; without words the full stop is left
    texts = [WORDS_PROMPT + ", ".join(words) + "." for words in lists]
    all_scores = clip_score(embeddings.images(samples), embeddings.texts(texts))
    scores = np.take_along_axis(all_scores, order, axis=1)
    found: dict[str, float] = {}
    for m in (1, 3):
        each = scores[:, -m:].mean(axis=1)
        found |= {f"top_{m}_mean": float(each.mean()), f"top_{m}_std": float(each.std())}
    return found
