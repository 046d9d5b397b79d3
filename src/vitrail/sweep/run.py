"""A sweep: concepts learned at every K and λ, and what is measured of them.

OUT/sweep.json  sweep.svg
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vitrail.activations import Activations
from vitrail.artifacts import beside, check_ours, one_writer, plain, write_ours, write_sealed
from vitrail.concepts import Choice, Judged, LearningOptions, choose, measure_all, one_layer, ordinary, penalties_for
from vitrail.errors import NumericsError, UsageError
from vitrail.grounding import GroundingOptions, overlap_of
from vitrail.lmm import LMM
from vitrail.progress import Progress, silent
from vitrail.sweep.options import SweepOptions
from vitrail.sweep.plot import draw_sweep
from vitrail.words import words_said

FILES = ("sweep.json", "sweep.svg")


@one_writer
def sweep(
    activations: Activations,
    options: SweepOptions | None = None,
    *,
    out: str | Path,
    lmm: LMM | None = None,
    progress: Progress = silent,
) -> Choice:
    """Concepts at every K and λ, measured on samples that were left out, and which choice follows; the numbers and
    their plot are written to the folder `out`.

    Args:
        lmm: the model that made the activations; without it, the overlap of words is not measured.

    Raises:
        UsageError: no such layer or method, or fewer samples than concepts.
        NumericsError: a state is not finite.
        ArtifactError: the activations were made by another model.
    """
    out, options = Path(out), options or SweepOptions()
    check_ours(beside("sweep", out))
    learning = _learning(options, one_layer(activations, options.layer))
    judged = _judged(activations, learning)
    words = GroundingOptions(options.n_words, language=options.language)
    overlap = None if lmm is None else overlap_of(lmm, activations, learning, words)
    choices = [
        replace(learning, n_concepts=k, penalty=penalty)
        for k, penalty in itertools.product(options.n_concepts, options.penalties or penalties_for(learning, judged.Z))
    ]
    choice = choose(measure_all(choices, judged, overlap, progress))
    write_sweep(choice, learning, len(judged.Z), out)
    return choice


def write_sweep(choice: Choice, learning: LearningOptions, n_samples: int, out: Path) -> None:
    """Writes what was tried, and the choice, as numbers and as a plot."""
    out.mkdir(parents=True, exist_ok=True)
    tried = {"layer": learning.layer, "method": learning.method, "seed": learning.seed, "form": learning.form}
    content = {**tried, "n_runs": learning.stability, "samples": n_samples, **plain(choice)}
    write_sealed(out / FILES[0], content)
    write_ours(out / FILES[1], draw_sweep(choice))


def check_sweep(activations: Activations, options: SweepOptions) -> None:
    """Raises unless the sweep can be made of these activations; no model is needed.

    Raises:
        UsageError: no such layer or method, or fewer samples than concepts.
    """
    layer = one_layer(activations, options.layer)
    shards = activations.shards(layer)
    if (k := max(options.n_concepts)) > (n := sum(stop - start for _, start, stop in shards)):
        raise UsageError(f"Cannot learn {k} concepts from {n} samples. Ask for fewer.")
    for penalty in options.penalties or (None,):
        replace(_learning(options, layer), penalty=penalty).learner()


def _learning(options: SweepOptions, layer: int | str) -> LearningOptions:
    """How concepts are learned, whatever their number and λ."""
    return LearningOptions(
        layer, options.method, max(options.n_concepts), seed=options.seed, stability=options.n_runs, form=options.form
    )


def _judged(activations: Activations, learning: LearningOptions) -> Judged:
    """The states of the layer without the outliers, which are not learned from, and the words of their captions."""
    assert learning.layer is not None
    Z = activations.states(learning.layer)
    if not np.isfinite(Z).all():
        bad = (~np.isfinite(Z)).any(axis=1).sum()
        raise NumericsError(f"{bad} of {len(Z)} states of layer {learning.layer} are not finite.")
    kept = ordinary(Z)
    captions: Sequence[Sequence[str]] = [activations.rows[i].references for i in np.flatnonzero(kept)]
    return Judged.of(Z[kept], words_said(captions), activations.word)
