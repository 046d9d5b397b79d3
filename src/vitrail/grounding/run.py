"""Grounding: concepts → words and images (CoX-LMM, Parekh et al. 2024, section 3.4).

Words are the top tokens of `W_U u_k`, through the final norm when the layer stands before it, and through a lens where
one is given; images are the most activating samples (MAS).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from vitrail.activations import Activations
from vitrail.artifacts import check_parent, is_current, one_writer, parent, plain, write_json, write_manifest
from vitrail.concepts import Concepts, LearningOptions, Overlap, one_layer
from vitrail.errors import ArtifactError
from vitrail.grounding.artifact import (
    FILE,
    KIND,
    GroundedConcept,
    GroundedMean,
    GroundedSample,
    Grounding,
    open_grounding,
)
from vitrail.grounding.captions import Captions
from vitrail.grounding.logit import word_logit
from vitrail.grounding.options import GroundingOptions
from vitrail.grounding.reader import WordReader
from vitrail.learners import Learner
from vitrail.lenses import Lens, LensMap, open_lens
from vitrail.lmm import LMM, Layer, as_lmm
from vitrail.scores import cosines, members, overlap

#: A concept is the mean of the states if its cosine with it is as large, and so large a share of the samples has it.
MEAN_COSINE = 0.95
MEAN_SHARE = 0.95


def ground(
    lmm: LMM | str | Path,
    activations: Activations,
    concepts: Concepts,
    *,
    out: str | Path | None = None,
    n_words: int = 10,
    n_samples: int = 5,
    own_word: bool = False,
    language: str = "en",
    lens: Lens | str | Path | None = None,
) -> Grounding:
    """Every concept in `n_words` words and `n_samples` samples, written to the folder `out`.

    Args:
        lmm: the model that made the activations, or its name or folder.
        out: the folder `grounding` beside that of the concepts for None.
        n_words: this and the following as in `GroundingOptions`; a lens may be given as it is, too.

    Raises:
        UsageError: a number below 1, a language without a dictionary, a layer that the lens has no map of, or one of
            the vision encoder or of the connector, whose states have no words.
        ArtifactError: the model, the activations, the concepts and the lens do not belong together.
    """
    folder = lens.folder if isinstance(lens, Lens) else lens
    options = GroundingOptions(n_words, n_samples, own_word, language, None if folder is None else str(folder))
    return ground_as(as_lmm(lmm), activations, concepts, options, out=out or concepts.folder.parent / KIND)


@one_writer
def ground_as(
    lmm: LMM, activations: Activations, concepts: Concepts, options: GroundingOptions, *, out: str | Path
) -> Grounding:
    """`ground` with its options as one value: those of another grounding ground in the same way again; see `ground`."""
    out = Path(out)
    check_model(lmm, activations)
    lmm.layer(concepts.layer)  # refuses the layers that have no words
    check_parent(concepts.folder, concepts.manifest, activations.folder, "activations")
    parents = {"concepts": parent(concepts.folder)}
    if options.lens is not None:
        lens_for(lmm, concepts.layer, options.lens)
        parents["lens"] = parent(Path(options.lens))
    if is_current(out, KIND, options.parameters(), parents):
        return open_grounding(out, concepts)
    reader = word_reader(lmm, activations, concepts.layer, options)
    by_words, mean = reader.beside(concepts.mean).grounded(concepts.U), _mean_in_words(concepts, reader)
    numbers = np.flatnonzero(concepts.kept)
    rows = [activations.rows[i] for i in numbers]
    captions = Captions([row.references for row in rows], activations.word, options.language)
    shares = share_of_samples(concepts.comparable(concepts.V))
    means = is_mean(concepts, activations.states(concepts.layer)[concepts.kept])
    grounded, names = [], [one.name for one in concepts.named]
    for k in range(len(concepts)):
        column, strengths = concepts.V[:, k], concepts.strengths(concepts.V)[:, k]
        samples = tuple(
            GroundedSample(rows[i].sample_id, int(numbers[i]), float(column[i]), float(strengths[i]))
            for i in most_activating(column, options.n_samples)
        )
        shared = captions.of(column)
        named = names[k] if k < len(names) else ""
        words = by_words[k] if samples else ()  # what no sample activates means nothing, whatever it decodes to
        grounded.append(GroundedConcept(k, words, samples, float(shares[k]), shared, bool(means[k]), named))
    write_json(out / FILE, grounded)
    content = {"parameters": options.parameters(), "parents": parents, "mean": plain(mean)}
    content["word_logit"] = plain(word_logit(reader.logits, activations, concepts))
    return Grounding(out, write_manifest(out, KIND, content, [FILE]), tuple(grounded))


def word_reader(
    lmm: LMM, activations: Activations, layer: int | str, options: GroundingOptions, n_words: int | None = None
) -> WordReader:
    """The reader of the words that may stand for concepts of `activations`, as `options` say; `n_words` instead of
    theirs, where it is given.

    Raises:
        UsageError: there is no dictionary of the language, or the lens has no map of the layer.
        ArtifactError: the lens is missing, damaged, or of another model.
    """
    lens = None if options.lens is None else lens_for(lmm, layer, options.lens)
    return WordReader.of(
        lmm,
        layer,
        activations.word,
        n_words=options.n_words if n_words is None else n_words,
        own_word=options.own_word,
        language=options.language,
        lens=lens,
    )


def lens_for(lmm: LMM, layer: Layer, lens: Lens | str | Path) -> LensMap:
    """The map of a layer in a lens of `lmm`.

    Raises:
        UsageError: the lens has no map of the layer.
        ArtifactError: it is missing, damaged, or of another model.
    """
    opened = lens if isinstance(lens, Lens) else open_lens(lens)
    opened.check(lmm)
    return opened.at(lmm.layer(layer))


def overlap_of(lmm: LMM, activations: Activations, learning: LearningOptions, options: GroundingOptions) -> Overlap:
    """A function from a fitted learner to the share of words that two of its concepts have in common, on average
    (`Overlap(U)` of CoX-LMM).

    Raises:
        ArtifactError: the activations were made by another model.
        UsageError: there is no dictionary of the language.
    """
    check_model(lmm, activations)
    layer, standing = one_layer(activations, learning.layer), learning.form == "centred"
    reader = word_reader(lmm, activations, layer, options)

    def overlap_of_words(learner: Learner) -> float:
        return overlap(reader.beside(learner.intercept if standing else None).words(learner.components_))

    return overlap_of_words


def check_model(lmm: LMM, activations: Activations) -> None:
    """Raises `ArtifactError` unless `activations` were made by `lmm`; names both."""
    differing = lmm.differences(activations.model)
    if differing:
        raise ArtifactError(
            f"{activations.folder} was made by the model {activations.model.name!r}, not by {lmm.name!r} as loaded "
            f"({'; '.join(differing)})."
        )


def _mean_in_words(concepts: Concepts, reader: WordReader) -> GroundedMean | None:
    if concepts.mean is None:
        return None
    return GroundedMean(reader.of_states(concepts.mean[None])[0], concepts.scores["mean_share"])


def is_mean(concepts: Concepts, Z: Float[np.ndarray, "n d"]) -> Bool[np.ndarray, " k"]:
    """Which concepts are the mean of the states `Z` that they were learned from: |cosine| with it of `MEAN_COSINE` or
    more, and active in nearly every sample. Prototypes are states themselves, and never their mean; nor is a concept
    where the mean is a row of its own."""
    if concepts.learner.prototypes or concepts.mean is not None:
        return np.zeros(len(concepts), bool)
    likeness = np.abs(cosines(concepts.U, Z.mean(0, dtype=np.float64)[None]))[:, 0]
    return (likeness >= MEAN_COSINE) & (np.mean(concepts.V != 0, axis=0) >= MEAN_SHARE)


def most_activating(activations: np.ndarray, n: int) -> list[int]:
    """Rows of the `n` largest activations (n_samples,), the largest first, ties by row; zeros are no activations."""
    order = np.argsort(-activations, kind="stable")[:n]
    return [int(i) for i in order if activations[i] != 0]


def share_of_samples(V: np.ndarray) -> np.ndarray:
    """(n_concepts,): the share of samples whose largest |activation| is this concept's; see `scores.members`."""
    owner = members(V)
    return np.bincount(owner[owner >= 0], minlength=V.shape[1]) / len(V)
