"""Two studies of one word, on the samples that both have, with the words and images of their concepts."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from vitrail.comparison.changes import activation_mass
from vitrail.comparison.pairs import SamplePairs, pair_samples
from vitrail.comparison.shift_vectors import move_of_mean
from vitrail.concepts import Concepts
from vitrail.errors import DataError
from vitrail.grounding import WordReader, most_activating, word_reader
from vitrail.lmm import LMM
from vitrail.studies import Study


@dataclass(frozen=True)
class AlignedStudy:
    """One of the two studies, on the `n` common samples; its model reads the words of its `K` concepts.

    Args:
        study: the study itself.
        Z: states of the samples.
        U: concepts; `V` are their activations, and `strength` those by which the concepts of a sample are compared
            (`Concepts.comparable`).
        mass: of each concept; see `activation_mass`.
        words: of each concept.
        images: places of each concept's most activating samples, among the common ones.
        reader: reads the words of directions with this study's model.
    """

    study: Study
    Z: Float[np.ndarray, "n d"]
    U: Float[np.ndarray, "k d"]
    V: Float[np.ndarray, "n k"]
    strength: Float[np.ndarray, "n k"]
    mass: Float[np.ndarray, " k"]
    words: list[list[str]]
    images: list[list[int]]
    reader: WordReader


@dataclass(frozen=True)
class AlignedStudies:
    """Two studies, restricted to their common samples; samples that are an outlier in one of them are left out."""

    a: AlignedStudy
    b: AlignedStudy
    pairs: SamplePairs
    n_outliers: int

    @property
    def D(self) -> Float[np.ndarray, "n d"]:
        """The moves of the samples from *a* to *b*."""
        return self.b.Z - self.a.Z

    @property
    def mean_move(self) -> Float[np.ndarray, " d"]:
        """How the mean moved where it is a row of its own; else zeros."""
        return move_of_mean(self.a.study.concepts.mean, self.b.study.concepts.mean, self.a.Z.shape[1])

    @property
    def exclusive(self) -> bool:
        """Whether a sample counts for its strongest concept alone: it does for prototypes."""
        return self.a.study.concepts.learner.prototypes

    def activations_in_b(self, U: Float[np.ndarray, "k d"]) -> Float[np.ndarray, "n k"]:
        """What the samples' states in *b* would activate if `U` were the concepts of *b*'s learner."""
        learner = copy.copy(self.b.study.concepts.learner)
        learner.components_ = U.astype(learner.components_.dtype)
        return np.asarray(learner.transform(self.b.Z.astype(np.float32)))

    def ids(self, places: list[int]) -> tuple[str, ...]:
        """The ids of the common samples at `places`."""
        return tuple(self.pairs.ids[i] for i in places)


def align_studies(a: Study, b: Study, lmm_a: LMM, lmm_b: LMM, *, n_words: int, n_images: int) -> AlignedStudies:
    """The studies `a` and `b` on their common samples, `n_words` words and `n_images` images for each concept.

    Raises:
        DataError: they have no common samples, or all of these are outliers.
    """
    found = pair_samples(a.activations, b.activations)
    ordinary = a.concepts.kept[found.a] & b.concepts.kept[found.b]
    pairs = found.where(ordinary)
    if not len(pairs):
        raise DataError(f"All {len(found)} common samples of {a.folder} and {b.folder} are outliers in one of them.")
    reader = word_reader(lmm_a, a.activations, a.concepts.layer, a.grounding.options, n_words)
    # both models share one vocabulary; the words that are allowed in it are the same, too
    reader_b = replace(reader, lmm=lmm_b)
    return AlignedStudies(
        _aligned(a, pairs.a, reader, n_images),
        _aligned(b, pairs.b, reader_b, n_images),
        pairs,
        n_outliers=int((~ordinary).sum()),
    )


def _aligned(study: Study, rows: np.ndarray, reader: WordReader, n_images: int) -> AlignedStudy:
    concepts = study.concepts
    U, V = concepts.U.astype(np.float64), activations_of_rows(concepts, rows)
    return AlignedStudy(
        study,
        Z=study.activations.states(concepts.layer)[rows].astype(np.float64),
        U=U,
        V=V,
        strength=concepts.comparable(V),
        mass=activation_mass(V, exclusive=concepts.learner.prototypes),
        words=reader.beside(concepts.mean).words(U),
        images=[most_activating(column, n_images) for column in V.T],
        reader=reader.beside(concepts.mean),
    )


def activations_of_rows(concepts: Concepts, rows: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n k"]:
    """The concepts' activations on `rows` of the activations folder, which must all have been learned from."""
    places = np.cumsum(concepts.kept) - 1
    return concepts.V[places[rows]]
