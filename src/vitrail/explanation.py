"""Explaining: one image → the concepts that the model used when it said the word, in words, in look-alikes, and against
the training samples (CoX-LMM, section 3.3: `v(X) = argmin_{v≥0} ‖z_X − v U‖² + λ‖v‖₁`; its forms are in `SemiNMF`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vitrail.activations import Activations
from vitrail.activations.rows import ShardRows
from vitrail.artifacts import SCHEMA, check_parent, parent, read_finished, read_made, typed, write_json, write_manifest
from vitrail.concepts import Concepts
from vitrail.concepts.evidence import Evidence
from vitrail.errors import DataError, UsageError, WordError
from vitrail.extraction import Reader, Reading
from vitrail.grounding import Grounding, check_model
from vitrail.lmm import LMM, as_lmm
from vitrail.notebook import Picture, Shown, View, bars
from vitrail.samples import GivenImage, Sample
from vitrail.scores import cosines
from vitrail.scores.verdicts import Verdict, explained

KIND = "explanations"
FILE = "explanations.json"


@dataclass(frozen=True)
class ActiveConcept:
    """A concept in one image.

    Args:
        index: its row in `U`.
        activation: in this image, in the units of the method.
        percentile: share of training samples, in %, that activate the concept less; ties count half.
        words: decoded from its direction.
        samples: those that activate it most.
        title: up to three words that name it.
        strength: the activation in multiples of its root mean square over the training samples: 1 is typical.
    """

    index: int
    activation: float
    percentile: float
    words: tuple[str, ...]
    samples: tuple[str, ...]
    title: tuple[str, ...] = ()
    strength: float = math.nan


@dataclass(frozen=True)
class Explanation(Shown):
    """What the model said of an image, and the concepts behind the word, the strongest first.

    `look_alikes` are the training samples whose activations are most like these (cosine). `explained_variance` is that
    of the concepts (see `concepts.describe_fit`), of this state alone: `1 − ‖z − ẑ‖² / ‖z − mean‖²`, the mean of the
    states learned from; below 0 where the mean is nearer than what the concepts make. `thumbnail` is a small JPEG.
    `evidence` is the probability that the word is true, by its concepts; None where no evidence was given.
    """

    image: str
    caption: str
    word: str
    concepts: tuple[ActiveConcept, ...]
    look_alikes: tuple[str, ...]
    explained_variance: float
    thumbnail: bytes
    evidence: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, without the picture and without activations in the units of the method."""
        values = asdict(self)
        del values["thumbnail"]
        for concept in values["concepts"]:
            del concept["activation"]
        values["verdict"] = asdict(self.verdict)
        return values

    def _shown(self) -> View:
        strengths = bars([c.strength for c in self.concepts], "{:.1f} ×")
        rows = tuple(
            (c.index, " · ".join(c.title), strength, f"{c.percentile:.0f}", ", ".join(c.words[:6]))
            for c, strength in zip(self.concepts, strengths, strict=True)
        )
        notes = [f"Explained: {self.explained_variance:.0%}, {self.verdict}."]
        if self.evidence is not None:
            notes.append(f"“{self.word.strip()}” is true with probability {self.evidence:.2f}.")
        heads = ("concept", "title", "strength", "percentile", "words")
        pictures = (Picture(self.thumbnail, self.image),)
        return View(f"“{self.word.strip()}”", f"in “{self.caption.strip()}”", heads, rows, pictures, tuple(notes))

    @property
    def verdict(self) -> Verdict:
        """What follows from the explained variance."""
        return explained(self.explained_variance, "what sets this image apart")


def explain(
    lmm: LMM | str | Path,
    activations: Activations,
    concepts: Concepts,
    grounding: Grounding,
    image: GivenImage,
    *,
    n_concepts: int = 5,
    n_look_alikes: int = 5,
    evidence: Evidence | None = None,
) -> Explanation:
    """The explanation of one image (path or PIL), of several together, or of a video.

    Args:
        evidence: for this word, to say how far its concepts speak for its being true; see `vitrail.fit_evidence`.

    Raises:
        DataError: the image cannot be read, or the answer does not have the positions that the study reads.
        WordError: the model does not say the word of this image; what it says is in the message.
        ArtifactError: the model is not the one that the study was made with.
    """
    sample = Sample.of_image(image)
    name = sample.id
    read = read_samples(as_lmm(lmm), activations, concepts, [sample])
    if read.counts.without_state:
        raise DataError(
            f"What the model says of {name} has no {activations.options.read_at!r}: {read.said[0].strip()!r}."
        )
    if not read.rows:
        raise WordError(
            f"The model does not say {activations.word.text!r} of {name}; it says: {read.said[0].strip()!r}. "
            "There is no state to explain."
        )
    found = _explained(read, activations, concepts, grounding, n_concepts, n_look_alikes)[0]
    return found if evidence is None else replace(found, evidence=_evidence(evidence, read, activations, concepts))


def explain_samples(
    lmm: LMM, activations: Activations, concepts: Concepts, grounding: Grounding, samples: Sequence[Sample]
) -> list[Explanation]:
    """Explanations of those `samples` of which the model says the word, as `explain` makes them.

    Raises:
        ArtifactError: the model is not the one that the study was made with.
    """
    return _explained(read_samples(lmm, activations, concepts, samples), activations, concepts, grounding)


def read_samples(lmm: LMM, activations: Activations, concepts: Concepts, samples: Sequence[Sample]) -> Reading:
    """The states of `samples` in the concepts' layer, asked for as the states of the study were.

    Raises:
        ArtifactError: the model is not the one that the study was made with.
    """
    check_model(lmm, activations)
    options = replace(activations.options, layers=(concepts.layer,), require="predicted")
    asked = replace(lmm, prompt=options.prompt or lmm.prompt)
    return Reader(asked, (activations.word,), options).read(samples)


@dataclass(frozen=True)
class Behind:
    """What is behind one state of the word: its concepts, its look-alikes and its explained variance, as in
    `Explanation`."""

    concepts: tuple[ActiveConcept, ...]
    look_alikes: tuple[str, ...]
    explained_variance: float


def concepts_behind(
    Z: np.ndarray,
    activations: Activations,
    concepts: Concepts,
    grounding: Grounding,
    n_concepts: int = 5,
    n_look_alikes: int = 5,
) -> list[Behind]:
    """What is behind each of the states `Z` (n, n_features), read where the study reads them.

    Raises:
        UsageError: no concept is asked for, or fewer look-alikes than none.
    """
    if n_concepts < 1 or n_look_alikes < 0:
        raise UsageError("n_concepts must be at least 1, and n_look_alikes at least 0.")
    V = np.asarray(concepts.learner.transform(Z))
    shares = _explained_variance(Z, np.asarray(concepts.learner.inverse_transform(V)), _mean(activations, concepts))
    ids = [activations.rows[i].sample_id for i in np.flatnonzero(concepts.kept)]
    alike = cosines(concepts.comparable(V), concepts.comparable(concepts.V))
    return [
        Behind(
            concepts=_active(v, concepts, grounding, n_concepts),
            look_alikes=tuple(ids[i] for i in np.argsort(-similar, kind="stable")[:n_look_alikes]),
            explained_variance=float(share),
        )
        for v, similar, share in zip(V, alike, shares, strict=True)
    ]


def _explained(
    read: Reading,
    activations: Activations,
    concepts: Concepts,
    grounding: Grounding,
    n_concepts: int = 5,
    n_look_alikes: int = 5,
) -> list[Explanation]:
    if not read.rows:
        return []
    Z = read.states[concepts.layer].float().numpy()
    found = concepts_behind(Z, activations, concepts, grounding, n_concepts, n_look_alikes)
    return [
        Explanation(image=row.image, caption=row.text.strip(), word=row.form, thumbnail=row.thumbnail, **vars(behind))
        for row, behind in zip(read.rows, found, strict=True)
    ]


def _mean(activations: Activations, concepts: Concepts) -> np.ndarray:
    """The mean (n_features,) of the states that the concepts were learned from."""
    if concepts.mean is not None:
        return concepts.mean
    rows = ShardRows(activations, concepts.layer, concepts.kept)
    pieces = (rows[i].sum(axis=0, dtype=np.float64) for i in range(len(rows.lengths)))
    return sum(pieces) / concepts.kept.sum()


def _explained_variance(Z: np.ndarray, rebuilt: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The explained variance of each of the states (n, n_features); NaN for a state that is the mean."""
    distances = np.sum((Z - mean) ** 2, axis=1)
    return 1 - np.sum((Z - rebuilt) ** 2, axis=1) / np.where(distances > 0, distances, np.nan)


def _evidence(evidence: Evidence, read: Reading, activations: Activations, concepts: Concepts) -> float:
    """The probability that the word of the first state that was read is true."""
    if evidence.word != activations.word.text:
        raise UsageError(f"The evidence is for {evidence.word!r}, and the study is of {activations.word.text!r}.")
    Z = read.states[concepts.layer][:1].float().numpy()
    V = np.asarray(concepts.learner.transform(Z))
    error = np.sum((Z - np.asarray(concepts.learner.inverse_transform(V))) ** 2, axis=1)
    return float(evidence(concepts.strengths(V), error / spread_of(activations, concepts))[0])


def spread_of(activations: Activations, concepts: Concepts) -> float:
    """The mean squared distance of the states that the concepts were learned from to their mean; 1 if it is 0."""
    rows, mean = ShardRows(activations, concepts.layer, concepts.kept), _mean(activations, concepts)
    pieces = (((rows[i].astype(np.float64) - mean) ** 2).sum() for i in range(len(rows.lengths)))
    return float(sum(pieces) / concepts.kept.sum()) or 1.0


def _active(v: np.ndarray, concepts: Concepts, grounding: Grounding, n: int) -> tuple[ActiveConcept, ...]:
    percentiles, strengths = concepts.percentile(v), concepts.strengths(v)
    strongest = [int(k) for k in np.argsort(-np.abs(concepts.comparable(v)), kind="stable")[:n] if v[k] != 0]
    return tuple(
        ActiveConcept(
            index=k,
            activation=float(v[k]),
            percentile=float(percentiles[k]),
            words=tuple(w.word for w in grounding[k].words),
            samples=tuple(s.sample_id for s in grounding[k].samples),
            title=grounding[k].title,
            strength=float(strengths[k]),
        )
        for k in strongest
    )


def save_explanations(explanations: Sequence[Explanation], grounding: Grounding, out: str | Path) -> None:
    """Writes `explanations` to the folder `out`."""
    out = Path(out)
    write_json(out / FILE, list(explanations))
    write_manifest(out, KIND, {"parameters": {}, "parents": {"grounding": parent(grounding.folder)}}, [FILE])


def open_explanations(folder: str | Path, grounding: Grounding, concepts: Concepts) -> list[Explanation]:
    """The explanations in `folder`, which were made from `grounding`, of `concepts`.

    Raises:
        ArtifactError: missing, damaged, or made from another grounding.
    """
    folder = Path(folder)
    manifest = read_finished(folder, KIND, "run the study")
    check_parent(folder, manifest, grounding.folder, "grounding")
    unmeasured = {"explained_variance": None} if manifest["schema"] < SCHEMA else {}  # by version 0.1.0

    def explanations(values: Any) -> list[Explanation]:
        found = typed([{**unmeasured, **one} for one in values], list[Explanation])
        return [_with_strengths(e, concepts) for e in found]

    return read_made(folder / FILE, explanations, "run the study")


def _with_strengths(explanation: Explanation, concepts: Concepts) -> Explanation:
    """The explanation with the strengths that it lacks if an earlier version wrote it."""
    typical = concepts.typical
    active = (replace(c, strength=c.activation / float(typical[c.index])) for c in explanation.concepts)
    return replace(explanation, concepts=tuple(active))
