"""The study of another model, made as a given one was made, on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vitrail.activations import Activations
from vitrail.concepts import learn
from vitrail.errors import DataError
from vitrail.extract import extract
from vitrail.ground import ground, word_of
from vitrail.lmm import LMM, Layer
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.study import Study


def same_activations(
    a: Activations,
    lmm: LMM,
    samples: Sequence[Sample],
    *,
    out: str | Path,
    layers: Sequence[Layer] | None = None,
    progress: Progress = silent,
) -> Activations:
    """What `lmm` puts out on the samples of `a`, asked as they were then; `layers` are those of `a` by default.

    Raises:
        DataError: none of `samples` is among those of `a`.
        WordError: `lmm` says the word of none of them.
    """
    ids = {row["sample_id"] for row in a.rows}
    found = [s for s in samples if s.id in ids]
    if not found:
        raise DataError(
            f"None of the {len(samples)} samples is among the {len(ids)} of {a.folder}. "
            "Give the data that it was made from."
        )
    p = a.parameters
    return extract(
        replace(lmm, prompt=p["prompt"]),
        found,
        word_of(a),
        out=out,
        layers=p["layers"] if layers is None else layers,
        alignment=p["alignment"],
        require=p["require"],
        max_new_tokens=p["max_new_tokens"],
        batch_size=p["batch_size"],
        shard_size=p["shard_size"],
        progress=progress,
    )


def same_study(a: Study, lmm: LMM, samples: Sequence[Sample], *, out: str | Path, progress: Progress = silent) -> Study:
    """Study `a` for `lmm`, on the samples of `a`, in the folder `out`: activations, concepts and grounding, learned
    and grounded as they were.

    Raises as `same_activations`.
    """
    out = Path(out)
    activations = same_activations(a.activations, lmm, samples, out=out / "activations", progress=progress)
    concepts = learn(activations, out=out / "concepts", **a.concepts.parameters)
    asked = replace(lmm, prompt=a.activations.parameters["prompt"])
    grounding = ground(asked, activations, concepts, out=out / "grounding", **a.grounding.manifest["parameters"])
    return Study(out, activations, concepts, grounding, ())
