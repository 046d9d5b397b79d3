"""Two studies of one word, on the samples that both have, with the words and images of their concepts."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from vitrail.comparison import changes
from vitrail.comparison.pairs import Pairs, align
from vitrail.concepts import Concepts
from vitrail.errors import DataError
from vitrail.grounding import most_activating, word_reader
from vitrail.lmm import LMM
from vitrail.studies import Study


class Both:
    """Two studies, restricted to their common samples, with words and images of their concepts."""

    def __init__(self, a: Study, b: Study, lmm_a: LMM, lmm_b: LMM, n_words: int, n_images: int) -> None:
        self.a, self.b = a, b
        layer = a.concepts.layer
        found = align(a.activations, b.activations)
        ordinary = a.concepts.kept[found.a] & b.concepts.kept[found.b]
        self.pairs: Pairs = found.only(ordinary)
        self.n_outliers = int((~ordinary).sum())
        if not len(self.pairs):
            raise DataError(
                f"All {len(found)} common samples of {a.folder} and {b.folder} are outliers in one of them."
            )
        self.A = a.activations.states(layer)[self.pairs.a].astype(np.float64)
        self.B = b.activations.states(layer)[self.pairs.b].astype(np.float64)
        self.D = self.B - self.A
        self.V_a, self.V_b = codes_of(a.concepts, self.pairs.a), codes_of(b.concepts, self.pairs.b)
        self.one_each = a.concepts.learner.prototypes
        self.masses = tuple(changes.mass(V, one_each=self.one_each) for V in (self.V_a, self.V_b))
        self.U_a, self.U_b = a.concepts.U.astype(np.float64), b.concepts.U.astype(np.float64)
        reader = word_reader(lmm_a, a.activations, layer, a.grounding.options, n_words)
        self.reader_b = replace(reader, lmm=lmm_b)  # the words that are allowed are those of a's vocabulary
        self.words_a, self.words_b = reader.words(self.U_a), self.reader_b.words(self.U_b)
        self.images_a = [most_activating(column, n_images) for column in self.V_a.T]
        self.images_b = [most_activating(column, n_images) for column in self.V_b.T]

    def activations_of(self, U: np.ndarray) -> np.ndarray:
        """(n, K): what the samples' states in *b* activate, were `U` the concepts of *a*'s learner."""
        learner = copy.copy(self.a.concepts.learner)
        learner.components_ = U.astype(self.a.concepts.U.dtype)
        return np.asarray(learner.transform(self.B.astype(np.float32)))

    def describe(self) -> dict[str, Any]:
        p, q = self.a.activations.parameters, self.b.activations.parameters
        return {
            "word": p["word"],
            "a": {"folder": self.a.folder.name, "model": p["model"]},
            "b": {"folder": self.b.folder.name, "model": q["model"]},
            "layer": self.a.concepts.layer,
            "alignment": p["alignment"],
            "method": self.a.concepts.parameters["method"],
            "samples": {
                "common": len(self.pairs), "only_a": self.pairs.only_a, "only_b": self.pairs.only_b,
                "outliers": self.n_outliers,
            },
        }  # fmt: skip


def codes_of(concepts: Concepts, rows: np.ndarray) -> np.ndarray:
    """(n, K): the activations of the rows `rows` of the activations folder, all of which were learned from."""
    places = np.cumsum(concepts.kept) - 1
    return concepts.V[places[rows]]
