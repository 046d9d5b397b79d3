"""Directions of a layer → words: the top tokens of `W_U u` (CoX-LMM, Parekh et al. 2024, section 3.4), or of `W_U J u`
through a lens `J` of a middle layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from vitrail import words
from vitrail.grounding.artifact import GroundedWord
from vitrail.lenses import LensMap
from vitrail.lmm import LMM, Layer
from vitrail.scores import unit
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
        lens: what states of the layer become in the last block; None reads them as they are. With the lens
            `A(h) = b + J (h − m)` that point is `A(μ)/‖A(μ)‖ + BESIDE_MEAN J u/‖J u‖`.
    """

    lmm: LMM
    layer: Layer
    allowed: Mapping[int, str]
    n_words: int = 10
    language: str = "en"
    mean: Float[np.ndarray, " d"] | None = None
    lens: LensMap | None = None

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
        lens: LensMap | None = None,
    ) -> WordReader:
        """The reader for concepts of `word`; `own_word` and `language` as in `GroundingOptions`.

        Raises:
            UsageError: there is no dictionary of `language`.
        """
        allowed = words.word_tokens(lmm.tokenizer, language)
        own = set() if own_word else words.own_tokens(lmm.tokenizer, word)
        return cls(lmm, layer, {i: w for i, w in allowed.items() if i not in own}, n_words, language, lens=lens)

    def grounded(self, U: np.ndarray) -> list[tuple[GroundedWord, ...]]:
        """For each row of `U` (n, n_features), a direction, its words with the largest logits, the largest first."""
        U, mean = np.asarray(U, np.float64), self.mean
        if self.lens is not None:
            U, mean = unit(self.lens.directions(U)), None if mean is None else self.lens.states(mean[None])[0]
        if mean is not None:
            U = mean / np.linalg.norm(mean) + BESIDE_MEAN * U
        return self._words(self._logits(U))

    def of_states(self, Z: np.ndarray) -> list[tuple[GroundedWord, ...]]:
        """For each row of `Z` (n, n_features), a state, its words with the largest logits, the largest first."""
        return self._words(self.logits(Z))

    def logits(self, Z: np.ndarray) -> Float[np.ndarray, "n vocabulary"]:
        """What states of the layer (n, n_features) say, through the lens where there is one."""
        return self._logits(Z if self.lens is None else self.lens.states(Z))

    def _logits(self, points: np.ndarray) -> Float[np.ndarray, "n vocabulary"]:
        """The logits at points of the layer; of the last block, where there is a lens."""
        layer = self.layer if self.lens is None else self.lmm.n_blocks
        return self.lmm.logits(torch.from_numpy(np.asarray(points, np.float32)), layer).cpu().numpy()

    def _words(self, logits: Float[np.ndarray, "n vocabulary"]) -> list[tuple[GroundedWord, ...]]:
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
