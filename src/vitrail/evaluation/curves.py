"""Curves: how well words and images of concepts agree by layer (CoX-LMM, figure on layers), and what K changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vitrail import scores
from vitrail.activations import Activations
from vitrail.concepts import Concepts, LearningOptions, learn_as
from vitrail.evaluation.control_words import Controls, random_words
from vitrail.evaluation.embeddings import Embeddings
from vitrail.evaluation.measures import BertMeasure, ClipMeasure, Measure
from vitrail.evaluation.options import OverCaptions
from vitrail.evaluation.protocols import score_concepts
from vitrail.evaluation.results import LayerContrast, LayerScores, Scored, SizeScores
from vitrail.grounding import Grounding, GroundingOptions, ground_as, word_reader
from vitrail.lmm import LMM, Layer
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.studies import samples_of_rows


@dataclass(frozen=True)
class DictionarySeries:
    """Dictionaries of the same states that differ in one option, each in its folder of `out`.

    Args:
        learning: the options that they have in common; their stability is not measured.
        n_random: lists of random words.
        over_captions: as in `EvaluationOptions`.
    """

    lmm: LMM
    activations: Activations
    learning: LearningOptions
    out: Path
    n_random: int = 200
    over_captions: OverCaptions = "mean"
    progress: Progress = silent

    def by_layer(
        self, layers: Sequence[Layer], samples: Sequence[Sample], embeddings: Embeddings
    ) -> tuple[LayerScores, ...]:
        """Protocol (a) at each layer. Words and random words are read from that layer through the final norm and `W_U`.

        Args:
            samples: the data that the states were extracted from.

        Raises:
            DataError: the sample of a state is not among `samples`.
        """
        rows = samples_of_rows(self.activations, samples)
        clip, bert, explained = [], [], []
        for i, layer in enumerate(layers):
            concepts, grounding = self._dictionary(f"layer-{layer}", replace(self.learning, layer=layer))
            explained.append(concepts.scores["explained_variance"])
            clip.append(self._scored(ClipMeasure(embeddings), concepts, grounding, rows))
            bert.append(self._scored(BertMeasure(embeddings, self.over_captions), concepts, grounding, rows))
            self.progress("layers", i + 1, len(layers))
        points = zip(layers, explained, _contrasts(clip), _contrasts(bert), strict=True)
        return tuple(LayerScores(*point) for point in points)

    def by_size(self, sizes: Sequence[int], test: Activations) -> tuple[SizeScores, ...]:
        """The dictionary with each number of concepts, the smallest first; those with more concepts than samples are
        left out.

        Args:
            test: held-out states.
        """
        found = []
        for i, k in enumerate(sorted(set(sizes))):
            if k <= len(self.activations):
                found.append(self._size(k, test))
                self.progress("K", i + 1, len(sizes))
        return tuple(found)

    def _size(self, k: int, test: Activations) -> SizeScores:
        concepts, grounding = self._dictionary(f"concepts-{k}", replace(self.learning, n_concepts=k))
        layer, lists = concepts.layer, grounding.words
        Z_test = test.states(layer)
        mean = self.activations.states(layer)[concepts.kept].astype(np.float64).mean(axis=0)
        rebuilt = concepts.learner.inverse_transform(np.asarray(concepts.learner.transform(Z_test)))
        reader = word_reader(self.lmm, self.activations, layer, grounding.options, max(map(len, lists)))
        random = random_words(reader.beside(concepts.mean), max(self.n_random, k), self.learning.seed)
        return SizeScores(
            n_concepts=k,
            explained_variance=concepts.scores["explained_variance"],
            explained_variance_held_out=scores.explained_variance(Z_test, rebuilt, mean, self.learning.seed),
            overlap=scores.overlap(lists),
            overlap_random=scores.overlap(random[:k]),
            active=concepts.scores["active"],
        )

    def _dictionary(self, folder: str, learning: LearningOptions) -> tuple[Concepts, Grounding]:
        home = self.out / folder
        concepts = learn_as(self.activations, replace(learning, stability=0), out=home / "concepts")
        grounding = ground_as(self.lmm, self.activations, concepts, GroundingOptions(), out=home / "grounding")
        return concepts, grounding

    def _scored(self, measure: Measure, concepts: Concepts, grounding: Grounding, rows: Sequence[Sample]) -> Scored:
        own = [[rows[s.row] for s in c.samples] for c in grounding.concepts]
        reader = word_reader(self.lmm, self.activations, concepts.layer, grounding.options).beside(concepts.mean)
        controls = Controls(random_words(reader, self.n_random, self.learning.seed))
        return score_concepts(measure, grounding.words, own, controls, self.learning.seed)


def _contrasts(scored: Sequence[Scored]) -> list[LayerContrast]:
    """The score of each layer beside random words; the p-values are corrected over the layers."""
    random = [s.against["random"] for s in scored]
    q_values = scores.corrected([r.p for r in random])
    return [LayerContrast(s.score, r.level, r.gain, r.p, q) for s, r, q in zip(scored, random, q_values, strict=True)]
