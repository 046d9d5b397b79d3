"""The same study made again: with another model, on other samples, or on images of noise.

First the samples are chosen, then states are extracted from them and concepts are learned as they were before:

| samples | activations | study |
|---|---|---|
| `own_samples`: those that it was made of | `same_activations` | `same_study` |
| `unseen_samples`: others, none of which was learned from | `unseen_activations` | |
| `noise_samples`: its texts with images of noise | `noise_activations` | `noise_study` |
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from vitrail.activations import Activations, ExtractionOptions, Row
from vitrail.concepts import LearningOptions, learn_as
from vitrail.errors import DataError, UsageError
from vitrail.extraction import check_unseen, extract_as
from vitrail.grounding import ground_as
from vitrail.lmm import LMM, Layer
from vitrail.progress import Progress, silent
from vitrail.samples import EncodedImage, Sample
from vitrail.studies.artifact import Study

# ---- which samples ---------------------------------------------------------------------------------------------------


def own_samples(activations: Activations, samples: Sequence[Sample]) -> list[Sample]:
    """Those of `samples` that the activations were made of, in their own order.

    Raises:
        DataError: there is none.
    """
    ids = set(activations.sample_ids())
    found = [s for s in samples if s.id in ids]
    if not found:
        raise DataError(
            f"None of the {len(samples)} samples is among the {len(ids)} of {activations.folder}. "
            "Give the data that it was made from."
        )
    return found


def samples_of_rows(activations: Activations, samples: Sequence[Sample]) -> list[Sample]:
    """The sample of every row of the activations, in the order of the rows.

    Raises:
        DataError: the sample of a row is not among `samples`.
    """
    known = {sample.id: sample for sample in samples}
    ids = activations.sample_ids()
    missing = [i for i in ids if i not in known]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(ids)} samples in {activations.folder} are not in these data, {missing[0]!r} among "
            "them. Name the data that the study was made of (--data)."
        )
    return [known[i] for i in ids]


def unseen_samples(activations: Activations, samples: Sequence[Sample]) -> list[Sample]:
    """`samples`, of which none was learned from.

    Raises:
        DataError: one was.
    """
    check_unseen(set(activations.sample_ids()), samples)
    return list(samples)


def noise_samples(activations: Activations, samples: Sequence[Sample]) -> list[Sample]:
    """For every row an image of noise, as large as its own, whose true text is the text of the row.

    Raises:
        DataError: the sample of a row is not among `samples`.
    """
    pairs = zip(activations.rows, samples_of_rows(activations, samples), strict=True)
    return [_noisy(row, sample) for row, sample in pairs]


def _noisy(row: Row, sample: Sample) -> Sample:
    def png() -> dict[str, bytes]:
        width, height = sample.open().size
        rng = np.random.default_rng(zlib.crc32(row.sample_id.encode("utf-8", "replace")))
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(buffer, "PNG", compress_level=1)
        return {"bytes": buffer.getvalue()}

    said, image = (row.text.strip(),), EncodedImage(row.image, png, Path())
    if sample.question is None:
        return Sample(sample.id, image, references=said)
    return Sample(sample.id, image, question=sample.question, answers=said)


# ---- states ----------------------------------------------------------------------------------------------------------


def same_activations(
    a: Activations,
    lmm: LMM,
    samples: Sequence[Sample],
    *,
    out: str | Path,
    layers: Sequence[Layer] | None = None,
    progress: Progress = silent,
) -> Activations:
    """The states of `lmm` on the samples of `a`, extracted as those of `a` were, in the folder `out`.

    Args:
        samples: the data that `a` was made of; those that are not in `a` are left out.
        layers: which states are kept; those of `a` for None.

    Raises:
        DataError: none of `samples` is among those of `a`.
        WordError: `lmm` says the word of none of them.
    """
    options = a.options if layers is None else replace(a.options, layers=tuple(layers))
    return _extracted(a, lmm, own_samples(a, samples), options, out, progress)


def unseen_activations(
    a: Activations, lmm: LMM, samples: Sequence[Sample], *, out: str | Path, progress: Progress = silent
) -> Activations:
    """The states of `lmm` on held-out `samples`, extracted as those of `a` were, in the folder `out`.

    Raises:
        DataError: one of `samples` was learned from.
        WordError: `lmm` says the word of none of them.
    """
    return _extracted(a, lmm, unseen_samples(a, samples), a.options, out, progress)


def noise_activations(
    a: Activations, lmm: LMM, samples: Sequence[Sample], *, out: str | Path, progress: Progress = silent
) -> Activations:
    """The states of `lmm` at the same positions of the same texts as in `a`, but on images of noise, in the folder
    `out` (CoX-LMM's Noise-Imgs, Parekh et al. 2024).

    Raises:
        DataError: the sample of a row of `a` is not among `samples`.
    """
    return _extracted(a, lmm, noise_samples(a, samples), replace(a.options, require="truth"), out, progress)


def _extracted(
    a: Activations, lmm: LMM, samples: Sequence[Sample], options: ExtractionOptions, out: str | Path, progress: Progress
) -> Activations:
    return extract_as(lmm, samples, a.word, options, out=out, progress=progress)


# ---- studies ---------------------------------------------------------------------------------------------------------


def same_study(a: Study, lmm: LMM, samples: Sequence[Sample], *, out: str | Path, progress: Progress = silent) -> Study:
    """Study `a` for `lmm`, on the samples of `a`, in the folder `out`: extracted, learned and grounded as `a` was.

    Raises:
        DataError: none of `samples` is among those of `a`.
        WordError: `lmm` says the word of none of them.
    """
    out = Path(out)
    activations = same_activations(a.activations, lmm, samples, out=out / "activations", progress=progress)
    return study_as(a, activations, lmm, out=out)


def noise_study(a: Study, noise: Activations, lmm: LMM, *, out: str | Path) -> Study:
    """The concepts of images of noise, learned and grounded as those of `a` were, in `out`/noise-concepts and
    `out`/noise-grounding. Their stability is not measured.

    Args:
        noise: from `noise_activations`.
    """
    options = replace(a.concepts.options, named=())  # images of noise have no properties
    learning = options if options.consensus else replace(options, stability=0)
    return study_as(a, noise, lmm, out=out, learning=learning, prefix="noise-")


def check_again(a: Study) -> None:
    """Raises `UsageError` if the concepts of study `a` cannot be learned and grounded in the same way from states of
    another model alone."""
    if a.grounding.options.lens is not None:
        raise UsageError(
            f"Words of {a.grounding.folder} are read through a lens of its model, {a.grounding.options.lens}. Fit a "
            "lens of the other model, make its study with it (`vitrail study --lens`), and compare the two studies."
        )
    if "labels" in a.concepts.parameters:
        raise UsageError(
            f"Concepts of {a.concepts.folder} were named by labels, which only who learned them has. Learn concepts of "
            "the other states with the same labels, and compare the two studies."
        )
    if words := a.concepts.parameters.get("shared"):
        raise UsageError(
            f"Concepts of {a.concepts.folder} are shared by {', '.join(words)}. Extract the states of these words from "
            "the other model, share a dictionary over them (`vitrail share`), and compare the two studies of the word."
        )


def study_as(
    a: Study,
    activations: Activations,
    lmm: LMM,
    *,
    out: str | Path,
    learning: LearningOptions | None = None,
    prefix: str = "",
) -> Study:
    """Concepts of `activations`, which `lmm` made, learned and grounded as those of study `a` were.

    Args:
        out: they are written to its folders `concepts` and `grounding`, whose names begin with `prefix`.
        learning: how they are learned; as in `a` for None.
    """
    if learning is None:
        check_again(a)
    out = Path(out)
    concepts = learn_as(activations, learning or a.concepts.options, out=out / f"{prefix}concepts")
    asked = replace(lmm, prompt=activations.options.prompt or lmm.prompt)
    grounding = ground_as(asked, activations, concepts, a.grounding.options, out=out / f"{prefix}grounding")
    return Study(out, activations, concepts, grounding)
