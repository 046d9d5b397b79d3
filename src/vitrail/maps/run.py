"""Images → maps: where concepts of a word come from, and the word itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image

from vitrail.activations import Activations, Row
from vitrail.concepts import Concepts
from vitrail.errors import UsageError, WordError
from vitrail.explanation import read_samples
from vitrail.grounding import Grounding
from vitrail.lmm import LMM, as_lmm
from vitrail.lmm.coordinates import Places
from vitrail.maps.image_maps import ImageMaps, TargetMap, shape_of
from vitrail.maps.methods.registry import map_method
from vitrail.maps.options import MapOptions
from vitrail.maps.question import Question, Targets
from vitrail.samples import GivenImage, Layout, Sample

#: Chooses the concepts of an image to map, from the activations (n_concepts,) of its state and its row.
Choose = Callable[[Float[np.ndarray, " k"], Row], Sequence[int]]


@dataclass(frozen=True, eq=False)
class SampleMaps:
    """The maps of one sample.

    Args:
        row: what the model said of it.
        activations: (n_concepts,) of its state.
        concepts: those that are mapped.
        values: of these, and of the word's logit where the state predicts the word.
        shares: for each value a map: see `TargetMap.shares`.
        frames: see `ImageMaps.frames`.
    """

    row: Row
    activations: Float[np.ndarray, " k"]
    concepts: tuple[int, ...]
    values: Float[np.ndarray, " targets"]
    shares: Float[np.ndarray, "targets height width"]
    frames: tuple[tuple[float, float, float, float], ...] = ()


def map_concepts(
    lmm: LMM | str | Path,
    activations: Activations,
    concepts: Concepts,
    grounding: Grounding,
    image: GivenImage,
    *,
    n_concepts: int = 5,
    options: MapOptions | None = None,
) -> ImageMaps:
    """Where in an image (path or PIL), several or a video its strongest concepts and the logit of the word come from.

    Raises:
        DataError: the image cannot be read.
        WordError: the model does not say the word of this image; what it says is in the message.
        UsageError: the concepts are of states that no map is made of, or there is no such method.
        ModelError: there is no patch map for this family of models; the message names another method.
        ArtifactError: the model is not the one that the study was made with.
    """
    options = options or MapOptions()
    if n_concepts < 1:
        raise UsageError(f"n_concepts must be at least 1, got {n_concepts}.")
    sample = Sample.of_image(image)
    name = sample.id

    def strongest(v: np.ndarray, _row: Row) -> list[int]:
        order = np.argsort(-np.abs(concepts.comparable(v)), kind="stable")[:n_concepts]
        return [int(k) for k in order if v[k] != 0]

    found = maps_of(as_lmm(lmm), activations, concepts, [sample], strongest, options)
    if not found:
        raise WordError(
            f"The model does not say {activations.word.text!r} of {name}, so there is nothing to map. "
            "`vitrail explain` without maps says what it says."
        )
    (one,) = found
    titles = [grounding[k].title for k in one.concepts]
    targets = [*zip(one.concepts, titles, strict=True), (None, (one.row.form.strip(),))][: len(one.values)]
    units = [*(float(concepts.typical[k]) for k in one.concepts), 1.0][: len(one.values)]
    maps = (
        TargetMap(k, title, float(value) / unit, shares / unit)
        for (k, title), unit, value, shares in zip(targets, units, one.values, one.shares, strict=True)
    )
    return ImageMaps(
        one.row.image,
        one.row.text.strip(),
        one.row.form,
        options.method,
        map_method(options.method).answers,
        tuple(maps),
        one.row.thumbnail,
        one.frames,
    )


def maps_of(
    lmm: LMM,
    activations: Activations,
    concepts: Concepts,
    samples: Sequence[Sample],
    choose: Choose,
    options: MapOptions,
) -> list[SampleMaps]:
    """The maps of those `samples` of which the model says the word, in their order.

    Args:
        choose: gives the concepts of an image that are mapped.

    Raises:
        UsageError: the concepts are of states that no map is made of, or there is no such method.
        ModelError: there is no patch map for this family of models; the message names another method.
        ArtifactError: the model is not the one that the study was made with.
    """
    map_method(options.method)
    check_mapped(activations, concepts)
    read = read_samples(lmm, activations, concepts, samples)
    if not read.rows:
        return []
    V = np.asarray(concepts.learner.transform(read.states[concepts.layer].float().numpy()))
    by_id = {sample.id: sample for sample in samples}
    chosen = [tuple(choose(v, row)) for v, row in zip(V, read.rows, strict=True)]
    images = [by_id[row.sample_id].open() for row in read.rows]
    drawn = maps_of_rows(lmm, activations, concepts, read.rows, images, chosen, options)
    return [
        SampleMaps(row, v, ks, values, shares, Layout.of(image).shares)
        for row, v, ks, image, (values, shares) in zip(read.rows, V, chosen, images, drawn, strict=True)
    ]


def maps_of_rows(
    lmm: LMM,
    activations: Activations,
    concepts: Concepts,
    rows: Sequence[Row],
    images: Sequence[Image.Image],
    chosen: Sequence[tuple[int, ...]],
    options: MapOptions,
) -> list[tuple[Float[np.ndarray, " targets"], Float[np.ndarray, "targets height width"]]]:
    """For each image the values of its `chosen` concepts and, where states predict the word, of its logit; and the maps
    of these (see `TargetMap.shares`).

    Args:
        rows: what the model said of each image.

    Raises:
        ModelError: there is no patch map for this family of models; the message names another method.
    """
    method = map_method(options.method)
    found: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    known: dict[tuple[Any, ...], Places] = {}
    for batch in _batches([Layout.of(image) for image in images], options.batch_size):
        most = max(len(chosen[i]) for i in batch)
        same = [(*chosen[i], *[0] * (most - len(chosen[i]))) for i in batch]
        of_batch = ([rows[i] for i in batch], [images[i] for i in batch], same)
        question = replace(question_of(lmm, activations, concepts, *of_batch, options), known=known)
        values, shares = question.targets.values(question.states()).T, method.make(question)
        for i, own_values, own_shares in zip(batch, values, shares, strict=True):
            own = [*range(len(chosen[i])), *range(most, len(question.targets))]  # without those that only fill up
            found[i] = own_values[own], own_shares[own]
    return [found[i] for i in range(len(rows))]


def question_of(
    lmm: LMM,
    activations: Activations,
    concepts: Concepts,
    rows: Sequence[Row],
    images: Sequence[Image.Image],
    chosen: Sequence[tuple[int, ...]],
    options: MapOptions,
) -> Question:
    """What a method is asked about images of one layout: where their concepts come from and, where states predict the
    word, its logit.

    Args:
        rows: what the model said of each image.
        chosen: as many concepts of each image.
    """
    predicts = activations.options.alignment == "predicts"
    words = tuple(row.token_ids[row.token] for row in rows) if predicts else None
    targets = Targets(lmm, concepts.learner, concepts.layer, tuple(chosen), words)
    requests, said = [row.request for row in rows], [_before(row, activations) for row in rows]
    return Question(targets, images, requests, said, options, shape_of(Layout.of(images[0])))


def check_mapped(activations: Activations, concepts: Concepts) -> None:
    """Raises `UsageError` unless maps can be made of the concepts: they are of states of the decoder at the word."""
    at = activations.options.read_at
    if at != "word" or not (isinstance(concepts.layer, int) or concepts.layer == "final"):
        raise UsageError(
            f"Maps are made of concepts of the word's own state in a layer of the decoder; these are of layer "
            f"{concepts.layer!r}, read at {at!r}."
        )


def _before(row: Row, activations: Activations) -> tuple[int, ...]:
    """What the model had said where the state of a word stands."""
    return row.token_ids[: row.token + (activations.options.alignment == "reads")]


def _batches(layouts: Sequence[Layout], most: int) -> list[list[int]]:
    """Numbers of images, those of one layout together, at most so many in a batch."""
    of_layout: dict[Layout, list[int]] = {}
    for i, layout in enumerate(layouts):
        of_layout.setdefault(layout, []).append(i)
    return [same[start : start + most] for same in of_layout.values() for start in range(0, len(same), most)]
