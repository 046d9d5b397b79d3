"""What states, dictionary and single concepts hold of the properties of samples, judged on samples that nothing was
learned from: the values of known factors, or, where no factor is known, the frequent words of captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from vitrail import scores
from vitrail.evaluation.inputs import EvaluationData
from vitrail.evaluation.results import BestValue, Lost, PropertyScore, PropertyScores, Told
from vitrail.scores import Estimate, Properties, Separation
from vitrail.words import Word, frequent_among

#: The group of properties that are words of captions.
CAPTION_WORD = "caption word"
#: At most so many words of captions are judged, the most frequent ones.
MOST_WORDS = 60
#: Deals of the properties to other samples, for the level by chance.
DEALS = 5


@dataclass(frozen=True)
class Described:
    """Samples: their ids, the words of their captions, their states `Z` and activations `V`."""

    ids: Sequence[str]
    said: Sequence[set[str]]
    Z: Float[np.ndarray, "n d"]
    V: Float[np.ndarray, "n k"]
    word: Word
    language: str = "any"

    @property
    def frequent(self) -> list[str]:
        """The words that enough of the captions have, the most frequent first."""
        return frequent_among(self.said, self.word, self.language, scores.FEWEST)


def score_properties(
    learned: Described,
    new: Described,
    own: Sequence[Sequence[str]],
    data: EvaluationData,
    *,
    signed: bool = False,
    seed: int = 0,
) -> PropertyScores | None:
    """What states, dictionary and single concepts hold of the properties of samples.

    Args:
        learned: the samples that concepts were learned from: probes are fitted and concepts are chosen on them.
        new: the samples that all are judged on.
        own: for each concept the ids of its most activating samples.
        data: the known factors; without any, the words of captions are judged.
        signed: whether activations are signed, so that a concept and its opposite are the same.

    Returns:
        None where no factor is known and the samples have no captions. Without `values` where too few samples have any
        property, or lack it.

    Raises:
        ValueError: a sample is both learned from and new.
    """
    if both := set(learned.ids) & set(new.ids):
        raise ValueError(f"{len(both)} samples, {min(both)!r} among them, were learned from: they are not new")
    judge = _Judge.of(learned, new, data, signed, seed)
    known = any(data.known(learned.ids))
    if not (known or any(learned.said)):
        return None
    told = judge.told()
    return PropertyScores(
        known=known,
        n_learned=len(learned.ids),
        n_new=len(new.ids),
        mean=_told(told),
        by_factor={f: _told(told, columns) for f, columns in judge.columns.items()},
        by_chance=judge.by_chance(),
        lost=Lost((told[0] - told[1]).mean(), (told[1] - told[2]).mean()),
        values=judge.values(told),
        concepts=judge.concepts(own),
        recovery=_recovery(learned, new, data, seed) if known else None,
    )


def _told(told: Sequence[Separation], columns: Sequence[int] | None = None) -> Told:
    return Told(*(separation.mean(columns) for separation in told))


def _recovery(learned: Described, new: Described, data: EvaluationData, seed: int) -> scores.Disentanglement:
    return scores.disentanglement(learned.V, data.known(learned.ids), new.V, data.known(new.ids), seed=seed)


@dataclass(frozen=True)
class _Judge:
    """The properties that can be judged, of the samples learned from and of the new ones."""

    learned: Described
    new: Described
    properties: Properties
    of_new: Properties
    signed: bool
    seed: int

    @classmethod
    def of(cls, learned: Described, new: Described, data: EvaluationData, signed: bool, seed: int) -> _Judge:
        known, known_new = data.known(learned.ids), data.known(new.ids)
        if any(known):
            properties = scores.factor_properties(known)
            of_new = scores.factor_properties(known_new, properties.names)
        else:
            properties = scores.word_properties(learned.said, learned.frequent[:MOST_WORDS], CAPTION_WORD)
            of_new = scores.word_properties(new.said, learned.frequent[:MOST_WORDS], CAPTION_WORD)
        chosen = np.flatnonzero(properties.enough(scores.COMMON) & of_new.enough())
        return cls(learned, new, properties.of(chosen), of_new.of(chosen), signed, seed)

    @cached_property
    def columns(self) -> dict[str, list[int]]:
        """Factor → the numbers of its properties."""
        found: dict[str, list[int]] = {}
        for j, factor in enumerate(self.properties.groups):
            found.setdefault(factor, []).append(j)
        return found

    @cached_property
    def matches(self) -> tuple[Float[np.ndarray, "k columns"], Float[np.ndarray, "k columns"]]:
        """How well every concept tells every property on the samples learned from, and with which sign."""
        return scores.matches(self.learned.V, self.properties, self.signed)

    def told(self, properties: Properties | None = None) -> tuple[Separation, Separation, Separation]:
        """How well states, dictionary and best concepts tell the properties of the new samples.

        Args:
            properties: those that the samples learned from have; for None their own.
        """
        learned, new, seed = self.learned, self.new, self.seed
        match, sign = self.matches if properties is None else scores.matches(learned.V, properties, self.signed)
        properties = properties or self.properties
        best, columns = match.argmax(axis=0), np.arange(match.shape[1])
        states = scores.probe(learned.Z, properties, new.Z, seed)
        dictionary = scores.probe(learned.V, properties, new.V, seed)
        concepts = new.V[:, best] * sign[best, columns]
        return (
            scores.separation(states, self.of_new),
            scores.separation(dictionary, self.of_new),
            scores.separation(concepts, self.of_new),
        )

    def by_chance(self) -> Told:
        """The level of all three where the samples learned from have the properties of others."""
        deals = [self.told(scores.dealt(self.properties, self.seed + i)) for i in range(DEALS)]
        return Told(*(_range([deal[kind].mean().mean for deal in deals]) for kind in range(3)))

    def values(self, told: Sequence[Separation]) -> tuple[PropertyScore, ...]:
        """Every property, with the concept that tells it best."""
        best = self.matches[0].argmax(axis=0)
        learned, new = ((p.has & p.known).sum(axis=0) for p in (self.properties, self.of_new))
        return tuple(
            PropertyScore(factor, value, int(best[j]), int(learned[j]), int(new[j]), _told(told, [j]))
            for j, (factor, value) in enumerate(self.properties.names)
        )

    def concepts(self, own: Sequence[Sequence[str]]) -> tuple[BestValue, ...]:
        """Every concept, with the property that it tells best."""
        match, sign = self.matches
        if not match.size:
            return ()
        best = match.argmax(axis=1)
        flipped = sign[np.arange(len(best)), best]
        judged = scores.separation(self.new.V * flipped, self.of_new.of(best)).auroc
        found = []
        for k, (j, mine) in enumerate(zip(best, own, strict=True)):
            factor, value = self.properties.names[j]
            purity, by_chance = self._purity(int(j), mine, flipped[k])
            found.append(BestValue(k, factor, value, float(judged[k]), purity, by_chance))
        return tuple(found)

    def _purity(self, j: int, own: Sequence[str], sign: float) -> tuple[float, float]:
        """The shares of the samples `own`, and of all that were learned from, that have property `j`."""
        if not own or sign < 0:
            return float("nan"), float("nan")
        row = {i: n for n, i in enumerate(self.learned.ids)}
        has, known = self.properties.has[:, j], self.properties.known[:, j]
        return float(np.mean([has[row[i]] for i in own])), float(has[known].mean())


def _range(values: Sequence[float]) -> Estimate:
    """The mean of the values, with the smallest and the largest."""
    return Estimate(float(np.mean(values)), float(np.std(values)), min(values), max(values), len(values))
