"""Explaining: one image → the concepts that the model used when it said the word (CoX-LMM, section 3.3:
`v(X) = argmin_{v≥0} ‖z_X − v U‖² + λ‖v‖₁`), in words, in look-alikes, and against the training samples."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitrail.activations import Activations
from vitrail.artifacts import check_parent, parent, read_manifest, write_json, write_manifest
from vitrail.concepts import Concepts
from vitrail.errors import ArtifactError, UsageError, WordError
from vitrail.extraction import Reader
from vitrail.grounding import Grounding, check_model
from vitrail.lmm import LMM
from vitrail.samples import Sample
from vitrail.scores import cosines

KIND = "explanations"
FILE = "explanations.json"


@dataclass(frozen=True)
class ActiveConcept:
    """A concept in one image.

    `percentile`: the share (in %) of training samples that activate the concept less. `words` and `samples` ground it.
    """

    index: int
    activation: float
    percentile: float
    words: tuple[str, ...]
    samples: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """What the model said of an image, and the concepts behind the word, the most active first.

    `look_alikes` are the training samples whose activations are most like these (cosine); `relative_error` is
    `‖z − ẑ‖ / ‖z‖`: how much of the state the concepts leave unexplained. `thumbnail` is a small JPEG.
    """

    image: str
    caption: str
    word: str
    concepts: tuple[ActiveConcept, ...]
    look_alikes: tuple[str, ...]
    relative_error: float
    thumbnail: bytes

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, the picture left out."""
        values = asdict(self)
        del values["thumbnail"]
        return values


def explain(
    lmm: LMM,
    activations: Activations,
    concepts: Concepts,
    grounding: Grounding,
    image: str | Path | Image.Image,
    *,
    n_concepts: int = 5,
    n_look_alikes: int = 5,
) -> Explanation:
    """The explanation of one image (path or PIL).

    Raises:
        DataError: the image cannot be read.
        WordError: the model does not say the word of this image; what it says is in the message.
        ArtifactError: the model is not the one that the study was made with.
    """
    name = "image" if isinstance(image, Image.Image) else str(image)
    source = image if isinstance(image, Image.Image) else Path(image)
    sample = Sample(id=name, image=source)
    sample.open()  # says what is wrong with it
    said: list[str] = []
    found = explain_samples(
        lmm, activations, concepts, grounding, [sample], n_concepts=n_concepts, n_look_alikes=n_look_alikes, said=said
    )
    if not found:
        raise WordError(
            f"The model does not say {activations.word.text!r} of {name}; it says: {said[0].strip()!r}. "
            "There is no state to explain."
        )
    return found[0]


def explain_samples(
    lmm: LMM,
    activations: Activations,
    concepts: Concepts,
    grounding: Grounding,
    samples: Sequence[Sample],
    *,
    n_concepts: int = 5,
    n_look_alikes: int = 5,
    said: list[str] | None = None,
) -> list[Explanation]:
    """Explanations of those `samples` of which the model says the word; all captions are added to `said`."""
    if n_concepts < 1 or n_look_alikes < 0:
        raise UsageError("n_concepts must be at least 1, and n_look_alikes at least 0.")
    check_model(lmm, activations)
    layer = concepts.layer
    options = replace(activations.options, layers=(layer,), require="predicted")
    asked = replace(lmm, prompt=options.prompt or lmm.prompt)  # as the training samples were
    reader = Reader(asked, activations.word, options)
    states, rows, _ = reader.read(samples, lambda n: None, [] if said is None else said)
    if not rows:
        return []
    Z = states[layer].float().numpy()
    V = np.asarray(concepts.learner.transform(Z))
    errors = np.linalg.norm(Z - concepts.learner.inverse_transform(V), axis=1) / np.linalg.norm(Z, axis=1)
    ids = [activations.rows[i]["sample_id"] for i in np.flatnonzero(concepts.kept)]
    alike = cosines(V, concepts.V)
    return [
        Explanation(
            image=row["image"],
            caption=row["text"].strip(),
            word=row["form"],
            concepts=_active(v, concepts, grounding, n_concepts),
            look_alikes=tuple(ids[i] for i in np.argsort(-similar, kind="stable")[:n_look_alikes]),
            relative_error=float(error),
            thumbnail=row["thumbnail"],
        )
        for row, v, similar, error in zip(rows, V, alike, errors, strict=True)
    ]


def _active(v: np.ndarray, concepts: Concepts, grounding: Grounding, n: int) -> tuple[ActiveConcept, ...]:
    percentiles = concepts.percentile(v)
    strongest = [int(k) for k in np.argsort(-np.abs(v), kind="stable")[:n] if v[k] != 0]
    return tuple(
        ActiveConcept(
            index=k,
            activation=float(v[k]),
            percentile=float(percentiles[k]),
            words=tuple(w.word for w in grounding[k].words),
            samples=tuple(s.sample_id for s in grounding[k].samples),
        )
        for k in strongest
    )


def save_explanations(explanations: Sequence[Explanation], grounding: Grounding, out: str | Path) -> None:
    """Writes `explanations` to the folder `out`."""
    out = Path(out)
    entries = [e.as_dict() | {"thumbnail": base64.b64encode(e.thumbnail).decode()} for e in explanations]
    write_json(out / FILE, entries)
    write_manifest(out, KIND, {"parameters": {}, "parents": {"grounding": parent(grounding.folder)}})


def open_explanations(folder: str | Path, grounding: Grounding) -> list[Explanation]:
    """The explanations in `folder`, which were made from `grounding`.

    Raises:
        ArtifactError: missing, damaged, or made from another grounding.
    """
    folder = Path(folder)
    check_parent(folder, read_manifest(folder, KIND), grounding.folder, "grounding")
    path = folder / FILE
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return [
            Explanation(
                **e
                | {
                    "thumbnail": base64.b64decode(e["thumbnail"]),
                    "look_alikes": tuple(e["look_alikes"]),
                    "concepts": tuple(
                        ActiveConcept(**c | {"words": tuple(c["words"]), "samples": tuple(c["samples"])})
                        for c in e["concepts"]
                    ),
                }
            )
            for e in entries
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged or missing ({error}). Run the study again.") from error
