"""What a comparison reports of each concept, put together from links, matches and recovery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from vitrail import scores
from vitrail.comparison import changes
from vitrail.comparison.aligned import AlignedStudies
from vitrail.comparison.artifact import ConceptAfter, ConceptChange, EmergedConcept
from vitrail.comparison.matching import Links, t_overlap
from vitrail.comparison.options import ChangeRules
from vitrail.comparison.recovery import Recovery
from vitrail.comparison.shift_vectors import consistency, magnitude, n_members, pairwise_consistency


@dataclass(frozen=True)
class MoveMeasures:
    """How the samples of each concept moved; see the functions of the same names in `shift_vectors`."""

    consistency: Float[np.ndarray, " k"]
    pairwise_consistency: Float[np.ndarray, " k"]
    magnitude: Float[np.ndarray, " k"]


def move_measures(D: Float[np.ndarray, "n d"], V: Float[np.ndarray, "n k"]) -> MoveMeasures:
    """The measures of the moves `D` of samples with activations `V`, comparable between concepts."""
    return MoveMeasures(consistency(D, V), pairwise_consistency(D, V), magnitude(D, V))


@dataclass(frozen=True)
class Matched:
    """How the concepts of two studies correspond: cosines `C` (K_a, K_b), the match of each concept of *a* (−1 for
    none), and links."""

    C: Float[np.ndarray, "k_a k_b"]
    match: np.ndarray
    links: Links


def concept_changes(
    aligned: AlignedStudies, matched: Matched, recovery: Recovery, measures: MoveMeasures, rules: ChangeRules
) -> tuple[ConceptChange, ...]:
    """What became of each concept of *a*."""
    a, b = aligned.a, aligned.b
    overlaps = np.array([[t_overlap(x, y) for y in b.words] for x in a.words])
    became = changes.classify_changes(matched.links, a.mass, b.mass, overlaps, rules)
    partners = changes.counterparts(matched.links)
    n = n_members(a.strength)

    def concept(k: int, j: int, partner: int) -> ConceptChange:
        nearest = int(matched.C[k].argmax())
        return ConceptChange(
            index=k,
            n_samples=int(n[k]),
            change=became[k],
            counterpart=None if partner < 0 else partner,
            nearest=nearest,
            match=None if j < 0 else j,
            cosine=float(matched.C[k, j]) if j >= 0 else np.nan,
            nearest_cosine=float(matched.C[k, nearest]),
            mass_before=float(a.mass[k]),
            mass_after=float(b.mass[partner]) if partner >= 0 else 0.0,
            words=a.words[k],
            words_match=b.words[j] if j >= 0 else [],
            words_counterpart=b.words[partner] if partner >= 0 else [],
            words_shifted=recovery.shifted_words[k],
            word_change=changes.word_change(a.words[k], b.words[partner if partner >= 0 else j]),
            samples=aligned.ids(a.images[k]),
            samples_match=aligned.ids(b.images[j]) if j >= 0 else (),
            t_overlap_before=float(recovery.words_before[k]),
            t_overlap_after=float(recovery.words_after[k]),
            t_overlap_interval=(float(recovery.interval[k, 0]), float(recovery.interval[k, 1])),
            images_before=float(recovery.images_before[k]),
            images_after=float(recovery.images_after[k]),
            cosine_gain=float(recovery.cosine_gain[k]),
            consistency=float(measures.consistency[k]),
            pairwise_consistency=float(measures.pairwise_consistency[k]),
            magnitude=float(measures.magnitude[k]),
        )

    numbers = zip(matched.match, partners, strict=True)
    return tuple(concept(k, int(j), int(partner)) for k, (j, partner) in enumerate(numbers))


def emerged_concepts(aligned: AlignedStudies, links: Links, rules: ChangeRules) -> tuple[EmergedConcept, ...]:
    """The concepts of *b* that no concept of *a* accounts for."""
    b = aligned.b
    new = np.flatnonzero(changes.has_emerged(links, aligned.a.mass, b.mass, rules))
    return tuple(EmergedConcept(int(j), float(b.mass[j]), b.words[j], aligned.ids(b.images[j])) for j in new)


def concepts_after(aligned: AlignedStudies) -> tuple[ConceptAfter, ...]:
    """All concepts of *b*."""
    pairs = zip(aligned.b.words, aligned.b.mass, strict=True)
    return tuple(ConceptAfter(j, words, float(mass)) for j, (words, mass) in enumerate(pairs))


def correlations(measures: MoveMeasures, recovery: Recovery) -> dict[str, scores.Correlation]:
    """How consistency and magnitude correlate with what the shift achieves, over the concepts."""
    achieved = {"cosine_gain": recovery.cosine_gain, "words_gain": recovery.words_gain}
    return {
        f"{name} and {what}": scores.correlation(values, gained)
        for name, values in vars(measures).items()
        for what, gained in achieved.items()
    }
