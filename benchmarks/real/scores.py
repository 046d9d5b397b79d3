"""How good captions are: CIDEr-D and BLEU-4 against people's, and whether ten words are said where people say them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitrail.scores.texts import bleu, cider_d, tokens

WORDS = ("dog", "man", "girl", "water", "grass", "snow", "ball", "red", "black", "running")


def corpus(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """CIDEr-D (people reach about .75 here) and BLEU-4 (0 to 100) of one caption for each image."""
    return {"cider_d": float(np.mean(cider_d(captions, references))), "bleu_4": bleu(captions, references)}


def rewards(
    captions: Sequence[Sequence[str]], references: Sequence[Sequence[str]], others: Sequence[Sequence[str]]
) -> np.ndarray:
    """(images, captions): CIDEr-D of several captions of each image.

    Args:
        captions: of each image, as many for each.
        references: of each image.
        others: references of other images, so that it is known which words are rare.
    """
    nothing = [""] * len(others)
    columns = [cider_d([*said, *nothing], [*references, *others]) for said in zip(*captions, strict=True)]
    return np.stack(columns, 1)[: len(captions)]


def words(captions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, dict[str, float]]:
    """Word → precision and recall: a word is right if one reference or more of the image has it."""
    said = [set(tokens(caption)) for caption in captions]
    true = [{t for reference in each for t in tokens(reference)} for each in references]
    found = {}
    for word in WORDS:
        says, is_true = np.array([word in s for s in said]), np.array([word in t for t in true])
        both = int((says & is_true).sum())
        found[word] = {
            "said": int(says.sum()),
            "true": int(is_true.sum()),
            "precision": both / max(1, int(says.sum())),
            "recall": both / max(1, int(is_true.sum())),
        }
    return found
