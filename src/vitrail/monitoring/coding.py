"""Coding: states of a word → the activations of a study's concepts, and how much of each state they leave."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from vitrail.activations.rows import ShardRows
from vitrail.concepts.learning import OUTLIER_NORM
from vitrail.lmm import Layer
from vitrail.studies import Study
from vitrail.words import Alignment, Word


@dataclass(frozen=True)
class Codes:
    """What the concepts make of n states: see the fields of `Observation`.

    Args:
        activations: (n, K).
        strengths: (n, K).
        errors: (n,).
        ordinary: (n,) bool.
    """

    activations: np.ndarray
    strengths: np.ndarray
    errors: np.ndarray
    ordinary: np.ndarray


@dataclass(frozen=True)
class Coder:
    """Codes states of a study's word in the study's own form: centred or not, with its λ, exactly as `explain` does."""

    study: Study

    @property
    def word(self) -> Word:
        """The word that the study is about."""
        return self.study.activations.word

    @property
    def layer(self) -> Layer:
        """The layer of the study's concepts."""
        return self.study.learned.layer

    @property
    def alignment(self) -> Alignment:
        """Which state belongs to the word."""
        return self.study.activations.options.alignment

    @property
    def name(self) -> str:
        """The word and the layer, which tell one study of a monitor from another."""
        return f"{self.word.text}@{self.layer}"

    @property
    def names(self) -> tuple[str, ...]:
        """Of each concept, the first word of its title."""
        return tuple(title.split(" · ")[0] for title in self.study.titles)

    @cached_property
    def _sizes(self) -> tuple[float, float]:
        """Of the states that the concepts were learned from: the mean squared distance to their mean, and the largest
        norm that is no attention sink's."""
        learned = self.study.learned
        every = ShardRows(self.study.activations, learned.layer)
        norms = np.concatenate([np.linalg.norm(every[i], axis=1) for i in range(len(every.lengths))])
        rows = ShardRows(self.study.activations, learned.layer, learned.kept)
        pieces = [rows[i].astype(np.float64) for i in range(len(rows.lengths))]
        mean = sum(piece.sum(axis=0) for piece in pieces) / learned.kept.sum()
        spread = sum(((piece - mean) ** 2).sum() for piece in pieces) / learned.kept.sum()
        return float(spread) or 1.0, OUTLIER_NORM * float(np.median(norms))

    def prepare(self) -> None:
        """Reads what coding needs from the study now, so that the first answer does not wait for it."""
        self._sizes  # noqa: B018 – it is kept
        self.study.learned.typical  # noqa: B018

    def __call__(self, states: Tensor) -> Codes:
        """The codes of `states` (n, n_features). Not finite states have NaN for codes, and are not ordinary."""
        learned = self.study.learned
        Z = states.detach().to("cpu").float().numpy()
        finite = np.isfinite(Z).all(axis=1)
        V = np.full((len(Z), len(learned)), np.nan, np.float32)
        errors = np.full(len(Z), np.nan)
        if finite.any():
            V[finite] = learned.learner.transform(Z[finite])
            rebuilt = np.asarray(learned.learner.inverse_transform(V[finite]), np.float64)
            errors[finite] = ((Z[finite] - rebuilt) ** 2).sum(axis=1) / self._sizes[0]
        ordinary = finite & (np.linalg.norm(Z, axis=1) <= self._sizes[1])
        return Codes(V, learned.strengths(V), errors, ordinary)
