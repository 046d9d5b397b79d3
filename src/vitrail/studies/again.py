"""The same study made again: on other samples, or with another model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vitrail.activations import Activations
from vitrail.concepts import learn_as
from vitrail.errors import DataError
from vitrail.extraction import extract_as
from vitrail.grounding import ground_as
from vitrail.lmm import LMM, Layer
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.studies.artifact import Study


def same_activations(
    a: Activations,
    lmm: LMM,
    samples: Sequence[Sample],
    *,
    out: str | Path,
    layers: Sequence[Layer] | None = None,
    progress: Progress = silent,
) -> Activations:
    """The states of `lmm` on the samples of `a`, asked as they were; `layers` are those of `a` by default.

    Raises:
        DataError: none of `samples` is among those of `a`.
        WordError: `lmm` says the word of none of them.
    """
    ids = set(a.sample_ids())
    found = [s for s in samples if s.id in ids]
    if not found:
        raise DataError(
            f"None of the {len(samples)} samples is among the {len(ids)} of {a.folder}. "
            "Give the data that it was made from."
        )
    options = a.options if layers is None else replace(a.options, layers=tuple(layers))
    return extract_as(lmm, found, a.word, options, out=out, progress=progress)


def same_study(a: Study, lmm: LMM, samples: Sequence[Sample], *, out: str | Path, progress: Progress = silent) -> Study:
    """Study `a` for `lmm`, on the samples of `a`, in the folder `out`: activations, concepts and grounding, made in the
    same way.

    Raises as `same_activations`.
    """
    out = Path(out)
    activations = same_activations(a.activations, lmm, samples, out=out / "activations", progress=progress)
    concepts = learn_as(activations, a.concepts.options, out=out / "concepts")
    asked = replace(lmm, prompt=activations.options.prompt or lmm.prompt)
    grounding = ground_as(asked, activations, concepts, a.grounding.options, out=out / "grounding")
    return Study(out, activations, concepts, grounding)
