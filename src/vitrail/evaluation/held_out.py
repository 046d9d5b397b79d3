"""What evaluation needs beside a study: states of held-out samples, and the same dictionary made of noise images."""

from __future__ import annotations

import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitrail.activations import Activations, Row
from vitrail.concepts import Concepts, learn_as
from vitrail.errors import DataError
from vitrail.extraction import extract_as
from vitrail.grounding import Grounding, ground_as
from vitrail.lmm import LMM
from vitrail.progress import Progress, silent
from vitrail.samples import EncodedImage, Sample


def by_id(samples: Sequence[Sample]) -> dict[str, Sample]:
    """Sample id → sample."""
    return {sample.id: sample for sample in samples}


def samples_of(activations: Activations, samples: Mapping[str, Sample]) -> list[Sample]:
    """The sample of every row.

    Raises DataError when a row's sample is not among `samples`: another image in its place would be scored.
    """
    ids = [row.sample_id for row in activations.rows]
    missing = [i for i in ids if i not in samples]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(ids)} samples in {activations.folder} are not in these data, {missing[0]!r} among "
            "them. Name the data that the study was made of (--data)."
        )
    return [samples[i] for i in ids]


def extract_test(
    lmm: LMM, activations: Activations, samples: Sequence[Sample], *, out: str | Path, progress: Progress = silent
) -> Activations:
    """States of held-out `samples` of the same word, layers and options as `activations`, in the folder `out`.

    Raises DataError when one of `samples` was learned from.
    """
    learned_from = {row.sample_id for row in activations.rows}
    both = [s.id for s in samples if s.id in learned_from]
    if both:
        raise DataError(
            f"{len(both)} samples to test on were learned from, {both[0]!r} among them. Name another split (--split)."
        )
    return extract_as(lmm, samples, activations.word, activations.options, out=out, progress=progress)


def extract_noise(
    lmm: LMM, activations: Activations, samples: Mapping[str, Sample], *, out: str | Path, progress: Progress = silent
) -> Activations:
    """States of the same texts at the same positions, but of images of noise: CoX-LMM's Noise-Imgs begins here."""
    noisy = [
        _noisy(row, sample) for row, sample in zip(activations.rows, samples_of(activations, samples), strict=True)
    ]
    options = replace(activations.options, require="truth")
    return extract_as(lmm, noisy, activations.word, options, out=out, progress=progress)


def _noisy(row: Row, sample: Sample) -> Sample:
    """A sample whose picture is noise of the same size, and of which what the model said before is the truth."""

    def png() -> dict[str, bytes]:
        width, height = sample.open().size
        rng = np.random.default_rng(zlib.crc32(row.sample_id.encode("utf-8", "replace")))
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(buffer, "PNG", compress_level=1)
        return {"bytes": buffer.getvalue()}

    said = (row.text.strip(),)
    truth: dict[str, Any] = {"references": said} if sample.question is None else {"answers": said}
    return Sample(row.sample_id, EncodedImage(row.image, png, Path()), question=sample.question, **truth)


def noise_dictionary(
    lmm: LMM, noise: Activations, concepts: Concepts, grounding: Grounding, *, out: str | Path
) -> tuple[Concepts, Grounding]:
    """The dictionary of noise images, learned and grounded as `concepts` were, in `out`/noise-concepts and
    `out`/noise-grounding."""
    options = concepts.options
    if not options.consensus:
        options = replace(options, stability=0)  # nobody asks how stable the concepts of noise are
    learned = learn_as(noise, options, out=Path(out) / "noise-concepts")
    grounded = ground_as(lmm, noise, learned, grounding.options, out=Path(out) / "noise-grounding")
    return learned, grounded
