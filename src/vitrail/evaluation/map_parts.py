"""Which part of an image a map should show: the truth that maps are held against.

Where factors and masks are known (Toyland's), a concept that stands for a value of a factor should show the part that
shows this factor. Where things are annotated by name (COCO, Visual Genome), the word should show what is called so, and
a concept what one of its own words names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Bool
from PIL import Image

from vitrail import scores
from vitrail.concepts import Concepts
from vitrail.errors import DataError
from vitrail.evaluation.inputs import EvaluationData, Lexicon
from vitrail.evaluation.map_scores import Part
from vitrail.evaluation.results import FactorValue
from vitrail.samples import Sample
from vitrail.samples.objects import Objects
from vitrail.scores import KnownFactors
from vitrail.studies import Study
from vitrail.toyland.ground_truth import Masks
from vitrail.words import Word

#: A concept stands for the value of a factor that it tells with at least this AUROC on the samples learned from.
TELLS = 0.85


class PartOf(Protocol):
    """Gives the part of an image that the map of a concept should show, or that of the word (None); None where nothing
    is known, or the image does not have it."""

    def __call__(self, sample: Sample, concept: int | None, shape: tuple[int, int]) -> Part | None: ...


class Meaning(NamedTuple):
    """What a concept, or the word, stands for: a value of a factor, and the part of images that shows the factor."""

    factor: str
    value: FactorValue
    part: str


@dataclass(frozen=True)
class FactorParts:
    """Parts of images by the factors that they show.

    Args:
        masks: where each part is.
        factors: sample id → factor → value.
        meant: concept → what it stands for; None → what the word does.
    """

    masks: Masks
    factors: KnownFactors
    meant: Mapping[int | None, Meaning]

    def __call__(self, sample: Sample, concept: int | None, shape: tuple[int, int]) -> Part | None:
        meaning, known = self.meant.get(concept), self.factors.get(sample.id, {})
        if meaning is None or str(known.get(meaning.factor)) != str(meaning.value):
            return None
        mask = self.masks.of(sample.id, meaning.part)
        return Part(f"{meaning.part}: {meaning.factor}", in_shape(mask, shape)) if mask.any() else None


@dataclass(frozen=True)
class NamedParts:
    """Parts of images by what stands there.

    Args:
        objects: what stands where.
        names: concept → the words that name it, None → the word.
    """

    objects: Objects
    names: Mapping[int | None, tuple[Word, ...]]

    def __call__(self, sample: Sample, concept: int | None, shape: tuple[int, int]) -> Part | None:
        words = self.names.get(concept, ())
        mask = self.objects.mask(sample, lambda name: any(word.find(name) for word in words))
        if mask is None or not mask.any():
            return None
        return Part("the word" if concept is None else "what the concept names", in_shape(mask, shape))


def nothing_known(sample: Sample, concept: int | None, shape: tuple[int, int]) -> None:
    """No part is known of any image."""


def parts_of_study(study: Study, data: EvaluationData) -> PartOf:
    """The parts that maps of a study should show.

    Raises:
        DataError: none of the held-out photographs is in the file of annotated things.
    """
    word = study.activations.word
    if data.objects is not None:
        if not any(data.objects.of(sample) is not None for sample in data.test_samples):
            raise DataError(
                f"None of the {len(data.test_samples)} held-out samples is in {data.objects.path}, by its id or by the "
                "name of its image. Give the annotations of these photographs."
            )
        own = {k: [w for w in study.grounding[k].title if not word.find(w)] for k in range(len(study))}
        named: dict[int | None, tuple[Word, ...]] = {k: tuple(map(Word, words)) for k, words in own.items()}
        return NamedParts(data.objects, named | {None: (word,)})
    if data.masks is None or data.factors is None:
        return nothing_known
    kept = [i for i, kept in zip(study.activations.sample_ids(), study.learned.kept, strict=True) if kept]
    meant: dict[int | None, Meaning] = dict(meanings(study.learned, data.known(kept), data.masks).items())
    if (said := _meaning_of(word, data.lexicon or {}, data.masks)) is not None:
        meant[None] = said
    return FactorParts(data.masks, data.factors, meant)


def meanings(concepts: Concepts, factors: Sequence[Mapping[str, Any]], masks: Masks) -> dict[int, Meaning]:
    """What each concept stands for, if it tells a value of a factor that a part of images shows.

    Args:
        factors: of the samples that concepts were learned from.
    """
    properties = scores.factor_properties(factors)
    properties = properties.of(np.flatnonzero(properties.enough(scores.COMMON)))
    told, signs = scores.matches(concepts.V, properties, concepts.learner.signed)
    found = {}
    for k, row in enumerate(told):
        if not len(row):
            continue
        best = int(row.argmax())
        factor, value = properties.names[best]
        part = masks.part_of(factor)
        if row[best] >= TELLS and signs[k, best] > 0 and part is not None and str(value) != "none":
            found[k] = Meaning(factor, value, part)
    return found


def _meaning_of(word: Word, lexicon: Lexicon, masks: Masks) -> Meaning | None:
    """What the word stands for, if it names a value of a factor that a part of images shows."""
    for factor, values in lexicon.items():
        part = masks.part_of(factor)
        for value, names in values.items():
            if part is not None and any(word.find(name) for name in names):
                return Meaning(factor, value, part)
    return None


def in_shape(mask: Bool[np.ndarray, "h w"], shape: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    """A mask in the shape of a map: what it covers half of, or, of a very small one, what it covers most of."""
    if mask.shape == shape:
        return mask
    covered = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(shape[::-1], Image.Resampling.BOX))
    return covered >= min(0.5, covered.max()) if mask.any() else np.zeros(shape, bool)
