"""Coding: states of a word → the activations of a study's concepts, and how much of each state they leave."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import Tensor

from vitrail.activations.rows import ShardRows
from vitrail.concepts.evidence import Evidence
from vitrail.concepts.learning import OUTLIER_NORM
from vitrail.explanation import spread_of
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
        evidence: (n,), or None without any.
    """

    activations: np.ndarray
    strengths: np.ndarray
    errors: np.ndarray
    ordinary: np.ndarray
    evidence: np.ndarray | None = None


@dataclass(frozen=True)
class Coder:
    """Codes states of a study's word in the study's own form: centred or not, with its λ, exactly as `explain` does."""

    study: Study
    evidence: Evidence | None = None

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
    def spread(self) -> float:
        """The mean squared distance of the states that the concepts were learned from to their mean."""
        return spread_of(self.study.activations, self.study.learned)

    @cached_property
    def _largest(self) -> float:
        """The largest norm of a state that is no attention sink's."""
        rows = ShardRows(self.study.activations, self.layer)
        norms = [np.linalg.norm(rows[i], axis=1) for i in range(len(rows.lengths))]
        return OUTLIER_NORM * float(np.median(np.concatenate(norms)))

    def prepare(self) -> None:
        """Reads what coding needs from the study now, so that the first answer does not wait for it."""
        self.spread, self._largest, self.study.learned.typical  # noqa: B018 – they are kept

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
            errors[finite] = ((Z[finite] - rebuilt) ** 2).sum(axis=1) / self.spread
        ordinary = finite & (np.linalg.norm(Z, axis=1) <= self._largest)
        strengths = learned.strengths(V)
        evidence = None if self.evidence is None else self.evidence(strengths, errors)
        return Codes(V, strengths, errors, ordinary, evidence)
