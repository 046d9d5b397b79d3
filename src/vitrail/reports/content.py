"""The content of a study's page, as values for the template; no HTML."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from vitrail.activations import Activations, ExtractionOptions, Row
from vitrail.artifacts import MANIFEST, file_hash
from vitrail.concepts import Concepts, NamedConcept
from vitrail.concepts.verdicts import of_concept
from vitrail.explanation import Explanation
from vitrail.grounding import CaptionWord, GroundedConcept, Grounding
from vitrail.lmm import Layer
from vitrail.reports.maps import overlay_png, scale_over, where
from vitrail.scores import FactorMatrix, KnownFactors, Value, Verdict, factor_matrix, overlap, overlap_matrix
from vitrail.studies import ConceptNote, Study
from vitrail.words import Word

#: At most this many of the images that could not be read are named.
MAX_NAMED = 50


@dataclass(frozen=True)
class Photo:
    """An image and its caption, which is `before` + `said` + `after`; `said` is the word of interest. Where it was
    mapped, `overlay` is the map as a picture to lay over it, and `where` the map in words. One that `is_wide`, as a
    strip of several images is, is shown whole; others fill a square."""

    data: str
    before: str
    said: str
    after: str
    references: tuple[str, ...] = ()
    name: str = ""
    overlay: str = ""
    where: str = ""
    is_wide: bool = False

    @property
    def caption(self) -> str:
        return (self.before + self.said + self.after).strip()


@dataclass(frozen=True)
class Bar:
    """A labelled value and its length, 0 to 1, among its neighbours."""

    label: str
    value: float
    length: float


@dataclass(frozen=True)
class Card:
    """What the page shows of one concept.

    Args:
        strengths: (n_samples,) of all samples, see `Concepts.strengths`; `active` is the share that is not zero, `mean`
            the mean of the sizes. Beside each photo stands its strength.
        title: the name that somebody gave it, or up to three words that name it, the same on every page; `own_title`
            is always the latter.
        captions: words that its samples' captions have more often than the others'.
        note: what a reader must know of its words; empty if nothing.
        share: of samples whose strongest concept this is.
        stability: over seeds and over resamples; None where it was not measured. `said` is what follows from it.
        named: what is known of it where it was named; None where it was found.
        written: what somebody wrote to it.
        scale: of the maps over its photos: what the last colour stands for; 0 where there are none.
    """

    index: int
    title: str
    words: list[Bar]
    captions: tuple[CaptionWord, ...]
    note: str
    photos: list[tuple[Photo, float]]
    strengths: Float[np.ndarray, " n"]
    active: float
    mean: float
    share: float
    match: Match | None
    stability: tuple[float, float] | None = None
    said: tuple[Verdict, ...] = ()
    named: NamedConcept | None = None
    own_title: str = ""
    written: str = ""
    scale: float = 0.0


@dataclass(frozen=True)
class Match:
    """The factor value that a concept matches best; `opposite` where it is active when the value is absent."""

    factor: str
    value: Value
    auroc: float
    opposite: bool


@dataclass(frozen=True)
class BestConcept:
    """A value and the concept that tells it best; `opposite` where the concept is active when the value is absent."""

    value: Value
    concept: int
    auroc: float
    opposite: bool


@dataclass(frozen=True)
class Factor:
    """A factor, the mean over its values of the best AUROC, and its values."""

    name: str
    mean: float
    values: list[BestConcept]


@dataclass(frozen=True)
class Local:
    """One explanation: the image, its look-alikes that are among the activations, and a bar for each of its concepts
    with the concept's number, percentile and words; `explained` is the explained variance of its state."""

    photo: Photo
    bars: list[tuple[Bar, int, float, tuple[str, ...]]]
    look_alikes: list[Photo]
    explained: float
    said: Verdict


@dataclass(frozen=True)
class Headline:
    """The head of the page: what was studied, and how."""

    word: str
    forms: tuple[str, ...]
    model: str
    place: str
    states: str
    method: str
    lens: str


@dataclass(frozen=True)
class Origin:
    """What made an artifact; `call` is the Python call that makes it again, `details` its manifest."""

    kind: str
    folder: str
    sha256: str
    call: str
    details: dict[str, Any]


def data_uri(picture: bytes | None, kind: str = "jpeg") -> str:
    """The picture as a data: URI, empty when there is none."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}" if picture else ""


def photo_of(row: Row) -> Photo:
    """The image and caption of a row of the activations."""
    text, start, end = row.text, row.start, row.end
    said = text[:start].lstrip(), text[start:end], text[end:].rstrip()
    return Photo(data_uri(row.thumbnail), *said, row.references, row.image, is_wide=is_wide(row.thumbnail))


#: How many times as wide as high a picture is that would lose its ends in a square.
_WIDE = 1.8


def is_wide(picture: bytes | None) -> bool:
    """Whether a picture is too wide to fill a square."""
    if not picture:
        return False
    with Image.open(io.BytesIO(picture)) as opened:
        return opened.width > _WIDE * opened.height


def relative(values: Sequence[float]) -> list[float]:
    """Lengths of bars, 0 to 1, measured from zero or from the smallest value where that is negative."""
    low, high = min([0.0, *values]), max(values, default=0.0)
    return [(v - low) / (high - low) if high > low else 0.0 for v in values]


def cards(study: Study, truth: FactorMatrix | None) -> list[Card]:
    """A card for every concept, in their order."""
    pairs = zip(study.grounding.concepts, study.titles, strict=True)
    return [_card(study, grounded, title, match_of(truth, grounded.index)) for grounded, title in pairs]


def scale_of_concept(study: Study, concept: int) -> float:
    """The largest value in the maps that a study keeps of a concept, in multiples of its typical activation per
    hundredth of the image; 0 where there are none."""
    shares = [] if study.sample_maps is None else [s for (k, _), s in study.sample_maps.shares.items() if k == concept]
    return scale_over(shares) if shares else 0.0


def _mapped(study: Study, concept: int, row: Row, scale: float) -> Photo:
    """The image of a row, with the map of a concept where there is one."""
    shares = None if study.sample_maps is None else study.sample_maps.shares.get((concept, row.sample_id))
    if shares is None:
        return photo_of(row)
    return replace(photo_of(row), overlay=data_uri(overlay_png(shares, scale), "png"), where=where(shares))


def _card(study: Study, grounded: GroundedConcept, title: str, match: Match | None) -> Card:
    activations, concepts, scale = study.activations, study.concepts, scale_of_concept(study, grounded.index)
    written = study.notes.concepts.get(grounded.index, ConceptNote())
    column, typical = concepts.strengths(concepts.V)[:, grounded.index], concepts.typical[grounded.index]
    logits = [w.logit for w in grounded.words]
    return Card(
        index=grounded.index,
        title=title,
        own_title=grounded.name(activations.word.text),
        captions=grounded.captions,
        note=note_of(grounded),
        written=written.text,
        words=[Bar(w.word, w.logit, length) for w, length in zip(grounded.words, relative(logits), strict=True)],
        photos=[
            (_mapped(study, grounded.index, activations.rows[s.row], scale), s.activation / float(typical))
            for s in grounded.samples
        ],
        scale=scale,
        strengths=column,
        active=float(np.mean(column != 0)),
        mean=float(np.abs(column).mean()),
        share=grounded.share,
        match=match,
        stability=stability_of(concepts, grounded.index),
        said=tuple(of_concept(concepts, grounded.index).values()),
        named=concepts.named[grounded.index] if grounded.index < concepts.learner.n_named else None,
    )


def note_of(grounded: GroundedConcept) -> str:
    """What a reader must know of the words of a concept; empty if nothing."""
    if grounded.mean:
        return "Every sample has this direction: it is the mean of all states, not what some images share."
    if grounded.disagrees:
        return (
            "The words decoded from the direction are not those that its images share: trust the captions. What can be "
            "said after the same beginning decides the decoded words, too."
        )
    return ""


def unexplained(activations: Activations, concepts: Concepts, n: int = 6) -> list[tuple[Photo, float]]:
    """The samples of whose states most is left by the concepts, the largest remainder first, each with the share of
    `‖z − mean‖²` that is left, `‖z − ẑ‖² / ‖z − mean‖²`."""
    numbers = np.flatnonzero(concepts.kept)
    Z = activations.states(concepts.layer)[numbers].astype(np.float64)
    left = np.sum((Z - concepts.learner.inverse_transform(concepts.V)) ** 2, axis=1)
    whole = np.sum((Z - Z.mean(axis=0)) ** 2, axis=1)
    most = [i for i in np.argsort(-left, kind="stable")[:n] if left[i] > 0 and whole[i] > 0]
    return [(photo_of(activations.rows[numbers[i]]), float(left[i] / whole[i])) for i in most]


def stability_of(concepts: Concepts, k: int) -> tuple[float, float] | None:
    """The stability of concept `k` over seeds and over resamples; None where it was not measured."""
    found = concepts.stability
    return None if found is None else (found["seeds"][k], found["resamples"][k])


def mean_stability(concepts: Concepts) -> tuple[float, float] | None:
    """The mean stability of all concepts over seeds and over resamples; None where it was not measured."""
    found = concepts.stability
    return None if found is None else (float(np.mean(found["seeds"])), float(np.mean(found["resamples"])))


def match_of(truth: FactorMatrix | None, k: int) -> Match | None:
    """The factor value that concept `k` matches best; None without known factors, or at the level of chance."""
    if truth is None:
        return None
    j = truth.best[k]
    best = float(truth.match[k, j])
    if best <= 0.5:
        return None
    return Match(truth.factors[j], truth.values[j], best, opposite=float(truth.auroc[k, j]) < best)


def truth_of(activations: Activations, concepts: Concepts, factors: KnownFactors | None) -> FactorMatrix | None:
    """Concepts against the known factors of their samples; None where no factor of theirs is known."""
    all_ids = activations.sample_ids()
    ids = [all_ids[i] for i in np.flatnonzero(concepts.kept)]
    matrix = factor_matrix(concepts.V, [(factors or {}).get(i, {}) for i in ids])
    return matrix if matrix.factors else None


def best_of(truth: FactorMatrix | None) -> list[Factor]:
    """For every value of every factor the concept that tells it best; nothing without known factors."""
    if truth is None:
        return []
    found = {name: Factor(name, mean, []) for name, mean in truth.by_factor.items()}
    for j, (factor, value) in enumerate(zip(truth.factors, truth.values, strict=True)):
        k = int(truth.match[:, j].argmax())
        auroc = float(truth.match[k, j])
        found[factor].values.append(BestConcept(value, k, auroc, opposite=float(truth.auroc[k, j]) < auroc))
    return list(found.values())


def word_overlap(grounding: Grounding) -> tuple[float, list[list[float]]]:
    """`Overlap(U)` of the words, and the matrix behind it."""
    sets = [{w.word for w in c.words} for c in grounding.concepts]
    return overlap(sets), overlap_matrix(sets).tolist()


def locals_of(activations: Activations, titles: Sequence[str], explanations: Sequence[Explanation]) -> list[Local]:
    """The explanations, with the titles of their concepts and the rows of their look-alikes."""
    by_id = {row.sample_id: row for row in activations.rows} if explanations else {}
    return [_local(e, titles, by_id) for e in explanations]


def _local(explanation: Explanation, titles: Sequence[str], by_id: Mapping[str, Row]) -> Local:
    caption = explanation.caption
    match = Word(explanation.word.strip(), match_case=True).find(caption) if explanation.word.strip() else None
    start, end = (match.start, match.end) if match else (len(caption), len(caption))
    largest = max((abs(c.strength) for c in explanation.concepts), default=0.0) or 1.0
    return Local(
        photo=Photo(
            data_uri(explanation.thumbnail),
            *(caption[:start], caption[start:end], caption[end:]),
            (),
            explanation.image,
            is_wide=is_wide(explanation.thumbnail),
        ),
        bars=[
            (
                Bar(titles[c.index], c.strength, abs(c.strength) / largest),
                c.index,
                c.percentile,
                c.words,
            )
            for c in explanation.concepts
        ],
        look_alikes=[photo_of(by_id[i]) for i in explanation.look_alikes if i in by_id],
        explained=explanation.explained_variance,
        said=explanation.verdict,
    )


#: How the states are called that are read at some positions, and those of the word by their alignment.
_STATES = {
    "predicts": "the state that predicts the word",
    "reads": "the state that reads the word",
    "answer": "the mean of the states that predict the answer",
    "generated": "the mean of the states that predict the answer and its end",
    "said": "the mean of the states at the tokens of the answer",
    "question": "the mean of the states at the tokens of the request",
    "first": "the state at the start of the prompt",
    "last": "the state at the end of the prompt",
}


def states_in_words(options: ExtractionOptions) -> str:
    """Which states are read, in words."""
    at = options.read_at
    return _STATES.get(options.alignment if at == "word" else at, f"the mean of the states at {at}")


def headline(activations: Activations, concepts: Concepts, grounding: Grounding) -> Headline:
    """What was studied, and how."""
    model = activations.model
    return Headline(
        word=activations.word.text,
        forms=activations.word.forms,
        model=Path(model.name).name or model.name,
        place=place(concepts.layer, model.n_blocks),
        states=states_in_words(activations.options),
        method=concepts.options.method,
        lens=Path(grounding.options.lens).name if grounding.options.lens else "",
    )


def place(layer: Layer, n_blocks: int | None) -> str:
    """A layer in words."""
    if layer == "final":
        return "after the final norm"
    if layer == 0:
        return "at the embeddings"
    return f"after block {layer}" + (f" of {n_blocks}" if n_blocks else "")


def origins(activations: Activations, concepts: Concepts, grounding: Grounding) -> list[Origin]:
    """The artifacts behind the page, in the order in which they were made."""
    extraction = vars(activations.options)
    extracted = {name: value for name, value in extraction.items() if name != "prompt"}
    extracted["layers"] = list(activations.options.layers)
    word = activations.word if activations.word.forms else activations.word.text
    return [
        _origin("activations", activations, f"vitrail.extract(lmm, samples, {word!r}", extracted),
        _origin("concepts", concepts, "vitrail.learn(activations", vars(concepts.options)),
        _origin("grounding", grounding, "vitrail.ground(lmm, activations, concepts", grounding.options.parameters()),
    ]


def _origin(kind: str, artifact: Activations | Concepts | Grounding, call: str, asked: Mapping[str, Any]) -> Origin:
    shown_elsewhere = {"counts", "scores", "stability", "dropped", "files", "kind", "complete", "choice", "word_logit"}
    details = {k: v for k, v in artifact.manifest.items() if k not in shown_elsewhere}
    arguments = "".join(f", {name}={value!r}" for name, value in asked.items())
    folder = artifact.folder
    return Origin(kind, folder.name, file_hash(folder / MANIFEST), f"{call}{arguments}, out={folder.name!r})", details)


def flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """A nested mapping as pairs, names joined by dots."""
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += flat(value, f"{before}{name}.")
        else:
            pairs.append((f"{before}{name}", value))
    return pairs
