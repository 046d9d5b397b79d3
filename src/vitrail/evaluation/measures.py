"""How well words fit samples: CLIPScore against images, BERTScore against captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float

from vitrail.evaluation.embeddings import Embeddings
from vitrail.evaluation.options import OverCaptions
from vitrail.evaluation.results import MeasureName
from vitrail.samples import Sample
from vitrail.scores import CAPTION_PROMPT, WORDS_PROMPT, bert_score, clip_score, words_text

WordList = Sequence[str]


class Measure(Protocol):
    """Scores lists of words, and captions that people wrote, against samples."""

    @property
    def name(self) -> MeasureName:
        """The name of the measure in results."""

    def words(self, samples: Sequence[Sample], lists: Sequence[WordList]) -> Float[np.ndarray, "n n_lists"]:
        """The score of each list on each sample; NaN where there is nothing to compare: no words, or no captions."""

    def captions(self, samples: Sequence[Sample]) -> Float[np.ndarray, " n"]:
        """The score of the captions of each sample, the upper mark; NaN where there is nothing to compare."""


class ClipMeasure:
    """CLIPScore: `2.5 · max(cos(image, "A photo is described by the words w1, w2, …"), 0)`."""

    name: MeasureName = "clip"

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings

    def words(self, samples: Sequence[Sample], lists: Sequence[WordList]) -> Float[np.ndarray, "n n_lists"]:
        scores = np.full((len(samples), len(lists)), np.nan)
        with_words = [j for j, words in enumerate(lists) if words]
        if with_words and samples:
            texts = self.embeddings.texts([WORDS_PROMPT + words_text(lists[j]) for j in with_words])
            scores[:, with_words] = clip_score(self.embeddings.images(samples), texts)
        return scores

    def captions(self, samples: Sequence[Sample]) -> Float[np.ndarray, " n"]:
        """The mean over a sample's captions, each after "A photo depicts "."""
        owners = [i for i, sample in enumerate(samples) for _ in sample.references]
        if not owners:
            return np.full(len(samples), np.nan)
        texts = self.embeddings.texts([CAPTION_PROMPT + t for sample in samples for t in sample.references])
        each = clip_score(self.embeddings.images(samples), texts)[owners, np.arange(len(owners))]
        counts = np.bincount(owners, minlength=len(samples))
        sums = np.bincount(owners, weights=each, minlength=len(samples))
        return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


class BertMeasure:
    """BERTScore F1 of the words, joined by commas, against the captions of a sample.

    Args:
        embeddings: of the tokens of texts.
        over: "mean" over the captions of a sample, as CoX-LMM averages over all associated captions, or the "best" of
            them, as BERTScore's authors do with several references.
    """

    name: MeasureName = "bert"

    def __init__(self, embeddings: Embeddings, over: OverCaptions = "mean") -> None:
        self.embeddings = embeddings
        self.over = over

    def words(self, samples: Sequence[Sample], lists: Sequence[WordList]) -> Float[np.ndarray, "n n_lists"]:
        scores = np.full((len(samples), len(lists)), np.nan)
        with_words = [j for j, words in enumerate(lists) if words]
        captioned = [i for i, sample in enumerate(samples) if sample.references]
        if with_words and captioned:
            candidates = self.embeddings.tokens([words_text(lists[j]) for j in with_words])
            references = self.embeddings.tokens([t for i in captioned for t in samples[i].references])
            f1 = bert_score(candidates, references).f1
            counts = [len(samples[i].references) for i in captioned]
            parts = np.split(f1, np.cumsum(counts)[:-1], axis=1)
            scores[np.ix_(captioned, with_words)] = np.array([self._together(part) for part in parts])
        return scores

    def captions(self, samples: Sequence[Sample]) -> Float[np.ndarray, " n"]:
        """The mean over a sample's captions, each against the others; NaN for fewer than two."""
        scores = np.full(len(samples), np.nan)
        self.embeddings.tokens([t for sample in samples for t in sample.references])  # encoded in few batches
        for i, sample in enumerate(samples):
            if (n := len(sample.references)) > 1:
                tokens = self.embeddings.tokens(sample.references)
                f1 = bert_score(tokens, tokens).f1
                others = f1[~np.eye(n, dtype=bool)].reshape(n, n - 1)
                scores[i] = self._together(others).mean()
        return scores

    def _together(self, scores: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
        return scores.mean(axis=1) if self.over == "mean" else scores.max(axis=1)
