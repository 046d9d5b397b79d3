"""The two measures of how well words fit samples: CLIPScore against images, BERTScore against captions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from vitrail.evaluation.embeddings import Embeddings
from vitrail.samples import Sample
from vitrail.scores import CAPTION_PROMPT, WORDS_PROMPT, bert_score, clip_score, words_text

WordList = Sequence[str]


class Measure(Protocol):
    """Scores lists of words, and people's own captions, against samples."""

    name: str

    def words(self, samples: Sequence[Sample], lists: Sequence[WordList]) -> np.ndarray:
        """(n_samples, n_lists); NaN where there is nothing to compare: no words, or no captions."""

    def captions(self, samples: Sequence[Sample]) -> np.ndarray:
        """(n_samples,): what people's captions reach, the upper mark; NaN where there is nothing to compare."""


class ClipMeasure:
    """CLIPScore: `2.5 · max(cos(image, "A photo is described by the words w1, w2, …"), 0)`."""

    name = "clip"

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings

    def words(self, samples: Sequence[Sample], lists: Sequence[WordList]) -> np.ndarray:
        scores = np.full((len(samples), len(lists)), np.nan)
        some = [j for j, words in enumerate(lists) if words]
        if some and samples:
            texts = self.embeddings.texts([WORDS_PROMPT + words_text(lists[j]) for j in some])
            scores[:, some] = clip_score(self.embeddings.images(samples), texts)
        return scores

    def captions(self, samples: Sequence[Sample]) -> np.ndarray:
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
    """BERTScore F1 of the words, by commas, against the captions of a sample: the best over all of them."""

    name = "bert"

    def __init__(self, embeddings: Embeddings) -> None:
        self.embeddings = embeddings

    def words(self, samples: Sequence[Sample], lists: Sequence[WordList]) -> np.ndarray:
        scores = np.full((len(samples), len(lists)), np.nan)
        some = [j for j, words in enumerate(lists) if words]
        having = [i for i, sample in enumerate(samples) if sample.references]
        if some and having:
            candidates = self.embeddings.tokens([words_text(lists[j]) for j in some])
            references = self.embeddings.tokens([t for i in having for t in samples[i].references])
            f1 = bert_score(candidates, references).f1
            starts = np.cumsum([0, *(len(samples[i].references) for i in having[:-1])])
            scores[np.ix_(having, some)] = np.maximum.reduceat(f1, starts, axis=1).T
        return scores

    def captions(self, samples: Sequence[Sample]) -> np.ndarray:
        """The mean over a sample's captions, each against the others; NaN for fewer than two."""
        scores = np.full(len(samples), np.nan)
        self.embeddings.tokens([t for sample in samples for t in sample.references])  # in few batches
        for i, sample in enumerate(samples):
            if len(sample.references) > 1:
                tokens = self.embeddings.tokens(sample.references)
                f1 = bert_score(tokens, tokens).f1
                np.fill_diagonal(f1, -np.inf)
                scores[i] = f1.max(axis=1).mean()
        return scores
