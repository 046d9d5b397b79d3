"""What the images of a concept share, by their captions.

The samples that activate a concept most have some caption words more often than the other samples. Words decoded from
a direction may disagree with the images of the concept; these words come from the images.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import special, stats

from vitrail.grounding.artifact import CaptionWord
from vitrail.scores import corrected
from vitrail.words import Word, frequent_among, unified, words_said

#: The share of the samples that count as those which activate a concept most; at least `FEWEST` of them.
SHARE = 0.1
FEWEST = 5
#: Words with a larger false discovery rate are not shown.
LEVEL = 0.05
#: Words that fewer samples have cannot be told from chance, and are not tested.
RAREST = 3


class Captions:
    """The captions of the samples behind a study, as sets of words.

    Args:
        references: for each sample its captions.
        word: the word of interest, which is left out.
        language: of the words, as in `GroundingOptions`.
    """

    def __init__(self, references: Sequence[Sequence[str]], word: Word, language: str = "en") -> None:
        said = words_said(references)
        self.words = sorted(frequent_among(said, word, language, RAREST))
        self.has: Bool[np.ndarray, "n w"] = np.array([[w in words for w in self.words] for words in said], bool)
        self.has = self.has.reshape(len(said), len(self.words))
        self._texts = "\n".join(unified(text).lower() for texts in references for text in texts)
        self._word = word

    def of(self, activations: Float[np.ndarray, " n"], n_words: int = 5) -> tuple[CaptionWord, ...]:
        """The words of the samples with the largest `activations`, the most characteristic first.

        They are ordered by the likelihood ratio of the counts inside and outside (Dunning 1993). Without enough samples
        or captions there are none.
        """
        n = len(activations)
        order = np.argsort(-activations, kind="stable")
        m = min(max(FEWEST, round(SHARE * n)), int(np.count_nonzero(activations > 0)))
        if m < FEWEST or n - m < FEWEST or not self.words:
            return ()
        inside = self.has[order[:m]].sum(0)
        both = self.has.sum(0)
        q = np.array(corrected(stats.hypergeom.sf(inside - 1, n, both, m).tolist()))
        strength = _likelihood_ratio(inside, both, m, n)
        chosen = [j for j in np.argsort(-strength, kind="stable") if q[j] < LEVEL][:n_words]
        return tuple(
            CaptionWord(
                self._phrase(self.words[j]), float(inside[j] / m), float((both[j] - inside[j]) / (n - m)), float(q[j])
            )
            for j in chosen
        )

    def _phrase(self, word: str) -> str:
        """`word`, with the word of interest after it where the two nearly always stand together ("hot dog")."""
        alone = len(re.findall(rf"\b{re.escape(word)}\b", self._texts))
        together = len(re.findall(rf"\b{re.escape(word)} {re.escape(self._word.text.lower())}\b", self._texts))
        return f"{word} {self._word.text}" if together >= 0.9 * alone else word


def _likelihood_ratio(
    inside: Int[np.ndarray, " w"], both: Int[np.ndarray, " w"], m: int, n: int
) -> Float[np.ndarray, " w"]:
    """G² of the counts of words inside (of `m` samples) and in all `n`; 0 for words not more frequent inside."""
    table = np.array([[inside, m - inside], [both - inside, (n - m) - (both - inside)]], float)
    expected = table.sum(1)[:, None] * table.sum(0)[None] / n
    terms = special.xlogy(table, table) - special.xlogy(table, expected)
    return np.where(inside > both * (m / n), 2 * terms.sum((0, 1)), 0.0)
