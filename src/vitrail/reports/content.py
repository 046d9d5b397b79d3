"""What a report says, as plain values for the template: nothing here knows HTML."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vitrail.activations import Activations, Row
from vitrail.artifacts import MANIFEST, file_hash
from vitrail.concepts import Concepts
from vitrail.explanation import Explanation
from vitrail.grounding import GroundedConcept, Grounding
from vitrail.scores import FactorMatrix, Value, factor_matrix, overlap, overlap_matrix
from vitrail.words import Word

#: Of the images that could not be read, so many are named.
MAX_NAMED = 50


@dataclass(frozen=True)
class Photo:
    """An image with what was said of it: `before`, `said` and `after` make up the caption, `said` being the word."""

    data: str
    before: str
    said: str
    after: str
    references: tuple[str, ...] = ()
    name: str = ""

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
    """All about one concept."""

    index: int
    words: list[Bar]
    photos: list[tuple[Photo, float]]
    activations: np.ndarray
    active: float
    mean: float
    share: float
    match: Match | None
    stability: tuple[float, float] | None = None


@dataclass(frozen=True)
class Match:
    """The value of a known factor that a concept tells best; `opposite` where it is active when the value is absent."""

    factor: str
    value: Value
    auroc: float
    opposite: bool


@dataclass(frozen=True)
class Local:
    """One explanation: the picture, bars for its concepts, and the look-alikes that are among the activations."""

    photo: Photo
    bars: list[tuple[Bar, int, float, tuple[str, ...]]]
    look_alikes: list[Photo]
    relative_error: float


@dataclass(frozen=True)
class Origin:
    """Where an artifact comes from; `call` would make it again."""

    kind: str
    folder: str
    sha256: str
    call: str
    details: dict[str, Any]


def data_uri(jpeg: bytes | None) -> str:
    """The picture as a data: URI, empty when there is none."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else ""


def photo_of(row: Row) -> Photo:
    """A row of the activations as a photo."""
    text, start, end = row.text, row.start, row.end
    return Photo(
        data_uri(row.thumbnail), text[:start].lstrip(), text[start:end], text[end:].rstrip(), row.references, row.image
    )


def relative(values: Sequence[float]) -> list[float]:
    """Lengths of bars, 0 to 1: from zero, or from the smallest value where it is negative."""
    low, high = min([0.0, *values]), max(values, default=0.0)
    return [(v - low) / (high - low) if high > low else 0.0 for v in values]


def cards(activations: Activations, concepts: Concepts, grounding: Grounding, truth: FactorMatrix | None) -> list[Card]:
    """A card for every concept, in their order."""
    return [_card(activations, concepts, grounded, match_of(truth, grounded.index)) for grounded in grounding.concepts]


def _card(activations: Activations, concepts: Concepts, grounded: GroundedConcept, match: Match | None) -> Card:
    column = concepts.V[:, grounded.index]
    logits = [w.logit for w in grounded.words]
    return Card(
        index=grounded.index,
        words=[Bar(w.word, w.logit, length) for w, length in zip(grounded.words, relative(logits), strict=True)],
        photos=[(photo_of(activations.rows[s.row]), s.activation) for s in grounded.samples],
        activations=column,
        active=float(np.mean(column != 0)),
        mean=float(np.abs(column).mean()),
        share=grounded.share,
        match=match,
        stability=stability_of(concepts, grounded.index),
    )


def stability_of(concepts: Concepts, k: int) -> tuple[float, float] | None:
    """How well concept `k` came back from other seeds, and from resamples; None where nobody looked."""
    found = concepts.stability
    return None if found is None else (found["seeds"][k], found["resamples"][k])


def mean_stability(concepts: Concepts) -> tuple[float, float] | None:
    """The same, mean over concepts."""
    found = concepts.stability
    return None if found is None else (float(np.mean(found["seeds"])), float(np.mean(found["resamples"])))


def match_of(truth: FactorMatrix | None, k: int) -> Match | None:
    """What concept `k` tells best; None when nothing is known, or when it tells nothing better than chance."""
    if truth is None:
        return None
    j = truth.best[k]
    best = float(truth.match[k, j])
    if best <= 0.5:
        return None
    return Match(truth.factors[j], truth.values[j], best, opposite=float(truth.auroc[k, j]) < best)


def truth_of(
    activations: Activations, concepts: Concepts, factors: Mapping[str, Mapping[str, Value | None]] | None
) -> FactorMatrix | None:
    """Concepts against the known factors of their samples; None when no factor of theirs is known."""
    ids = [activations.rows[i]["sample_id"] for i in np.flatnonzero(concepts.kept)]
    matrix = factor_matrix(concepts.V, [(factors or {}).get(i, {}) for i in ids])
    return matrix if matrix.factors else None


def word_overlap(grounding: Grounding) -> tuple[float, list[list[float]]]:
    """`Overlap(U)` of the words, and the matrix behind it."""
    sets = [{w.word for w in c.words} for c in grounding.concepts]
    return overlap(sets), overlap_matrix(sets).tolist()


def locals_of(activations: Activations, explanations: Sequence[Explanation]) -> list[Local]:
    """The explanations, with their look-alikes looked up."""
    by_id = {row["sample_id"]: row for row in activations.rows} if explanations else {}
    return [_local(e, by_id) for e in explanations]


def _local(explanation: Explanation, by_id: Mapping[str, Row]) -> Local:
    caption = explanation.caption
    match = Word(explanation.word.strip(), match_case=True).find(caption) if explanation.word.strip() else None
    start, end = (match.start, match.end) if match else (len(caption), len(caption))
    largest = max((abs(c.activation) for c in explanation.concepts), default=0.0) or 1.0
    return Local(
        photo=Photo(
            data_uri(explanation.thumbnail), caption[:start], caption[start:end], caption[end:], (), explanation.image
        ),
        bars=[
            (Bar(", ".join(c.words[:3]), c.activation, abs(c.activation) / largest), c.index, c.percentile, c.words)
            for c in explanation.concepts
        ],
        look_alikes=[photo_of(by_id[i]) for i in explanation.look_alikes if i in by_id],
        relative_error=explanation.relative_error,
    )


def headline(activations: Activations, concepts: Concepts) -> dict[str, Any]:
    """What was studied, and how: the head of the page."""
    p, how = activations.parameters, concepts.parameters
    return {
        "word": p["word"]["text"],
        "forms": p["word"]["forms"],
        "model": Path(p["model"]["name"]).name or p["model"]["name"],
        "place": place(concepts.layer, p["model"].get("n_blocks")),
        "alignment": {
            "predicts": "the state that predicts the word",
            "reads": "the state that reads the word",
        }.get(p["alignment"], p["alignment"]),
        "method": how["method"],
    }


def place(layer: int | str, n_blocks: int | None) -> str:
    """A layer in words."""
    if layer == "final":
        return "after the final norm"
    if layer == 0:
        return "at the embeddings"
    return f"after block {layer}" + (f" of {n_blocks}" if n_blocks else "")


def origins(activations: Activations, concepts: Concepts, grounding: Grounding) -> list[Origin]:
    """The artifacts behind the page, in the order in which they were made."""
    p = activations.parameters
    asked: dict[str, Any] = {
        k: p[k] for k in ("layers", "alignment", "require", "max_new_tokens", "batch_size", "shard_size") if k in p
    }
    word = activations.word if activations.word.forms else activations.word.text
    return [
        _origin("activations", activations, f"vitrail.extract(lmm, samples, {word!r}", asked),
        _origin("concepts", concepts, "vitrail.learn(activations", concepts.parameters),
        _origin("grounding", grounding, "vitrail.ground(lmm, activations, concepts", grounding.manifest["parameters"]),
    ]


def _origin(kind: str, artifact: Activations | Concepts | Grounding, call: str, asked: Mapping[str, Any]) -> Origin:
    shown_elsewhere = {"counts", "scores", "stability", "dropped", "files", "kind", "complete"}
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
