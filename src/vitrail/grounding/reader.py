"""Directions of a layer → words: the top tokens of `W_U u` (CoX-LMM, Parekh et al. 2024, section 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from vitrail import words
from vitrail.grounding.artifact import GroundedWord
from vitrail.lmm import LMM, Layer
from vitrail.words import Word

#: How many times as long as the mean a direction is where its words are read. Less repeats the words of the mean in
#: every concept, more brings words that fit nothing; `docs/log.md` has the figures.
BESIDE_MEAN = 3.0


@dataclass(frozen=True)
class WordReader:
    """Reads the words of directions at a layer of a model.

    Args:
        lmm: the model whose final norm and unembedding are used.
        layer: where the directions come from; those of layer "final" skip the norm.
        allowed: token id → word: the words that may stand for a concept.
        n_words: words per direction. Forms of one word ("dog", "Dogs") take one place, that of the strongest.
        language: whose lemmas say which words are forms of one.
        mean: the mean of the states, where directions are what distinguishes states from it. A unit direction `u` is
            then read at `μ/‖μ‖ + BESIDE_MEAN u`: by itself it names what could not be said there.
    """

    lmm: LMM
    layer: Layer
    allowed: Mapping[int, str]
    n_words: int = 10
    language: str = "en"
    mean: Float[np.ndarray, " d"] | None = None

    def beside(self, mean: Float[np.ndarray, " d"] | None) -> WordReader:
        """The reader of directions from `mean`; for None of directions by themselves."""
        return replace(self, mean=mean)

    @classmethod
    def of(
        cls,
        lmm: LMM,
        layer: Layer,
        word: Word,
        *,
        n_words: int = 10,
        own_word: bool = False,
        language: str = "en",
    ) -> WordReader:
        """The reader for concepts of `word`; `own_word` and `language` as in `GroundingOptions`.

        Raises:
            UsageError: there is no dictionary of `language`.
        """
        allowed = words.word_tokens(lmm.tokenizer, language)
        own = set() if own_word else words.own_tokens(lmm.tokenizer, word)
        return cls(lmm, layer, {i: w for i, w in allowed.items() if i not in own}, n_words, language)

    def grounded(self, U: np.ndarray) -> list[tuple[GroundedWord, ...]]:
        """For each row of `U` (n, n_features) its words with the largest logits, the largest first."""
        U = np.asarray(U, np.float64)
        if self.mean is not None:
            U = self.mean / np.linalg.norm(self.mean) + BESIDE_MEAN * U
        logits = self.lmm.logits(torch.from_numpy(np.asarray(U, np.float32)), self.layer).cpu().numpy()
        # a tokenizer may know more tokens than the model can say
        ids = np.array([i for i in self.allowed if i < logits.shape[1]], dtype=int)
        result = []
        for row in logits:
            found: dict[str, GroundedWord] = {}
            for token in ids[np.argsort(-row[ids], kind="stable")]:
                word = self.allowed[int(token)].lower()
                found.setdefault(words.lemma(word, self.language), GroundedWord(word, int(token), float(row[token])))
                if len(found) == self.n_words:
                    break
            result.append(tuple(found.values()))
        return result

    def words(self, U: np.ndarray) -> list[list[str]]:
        """`grounded`, the words alone."""
        return [[w.word for w in found] for found in self.grounded(U)]
