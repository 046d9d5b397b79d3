"""A sweep: concepts learned at every K and λ, and what is measured of them.

OUT/sweep.json  sweep.svg
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from vitrail import learners
from vitrail.activations import Activations
from vitrail.artifacts import check_ours, one_writer, write_sealed, write_whole
from vitrail.concepts import describe_fit, one_layer, ordinary
from vitrail.concepts.stability import stability
from vitrail.errors import NumericsError, UsageError
from vitrail.grounding import GroundingOptions, check_model, word_reader
from vitrail.lmm import LMM, Layer
from vitrail.progress import Progress, silent
from vitrail.scores import overlap, pairwise_cosine
from vitrail.sweep.options import SweepOptions
from vitrail.sweep.plot import draw_sweep
from vitrail.sweep.point import SweepPoint


@one_writer
def sweep(
    activations: Activations,
    options: SweepOptions | None = None,
    *,
    out: str | Path,
    lmm: LMM | None = None,
    progress: Progress = silent,
) -> list[SweepPoint]:
    """Concepts at every K and λ, measured; the numbers and their plot are written to the folder `out`.

    Args:
        lmm: the model that made the activations; without it, the overlap of words is not measured.

    Raises:
        UsageError: no such layer or method, or fewer samples than concepts.
        NumericsError: a state is not finite.
        ArtifactError: the activations were made by another model.
    """
    out, options = Path(out), options or SweepOptions()
    check_ours([out / "sweep.json"])
    layer = one_layer(activations, options.layer)
    Z = _states(activations, layer)
    if max(options.n_concepts) > len(Z):
        raise UsageError(f"Cannot learn {max(options.n_concepts)} concepts from {len(Z)} samples. Ask for fewer.")
    overlap_of = None if lmm is None else _word_overlap(lmm, activations, layer, options)
    choices = list(itertools.product(options.n_concepts, options.penalties or _penalties(Z, options)))
    points = []
    for done, (k, penalty) in enumerate(choices):
        progress("sweep", done, len(choices))
        learner = learners.make_learner(options.method, k, penalty=penalty, seed=options.seed, form=options.form)
        points.append(_measure(learner, Z, penalty, options.n_runs, overlap_of))
    progress("sweep", len(choices), len(choices))
    out.mkdir(parents=True, exist_ok=True)
    tried = {"layer": layer, "method": options.method, "seed": options.seed, "n_runs": options.n_runs}
    tried["form"] = options.form
    write_sealed(out / "sweep.json", {**tried, "samples": len(Z), "points": [asdict(point) for point in points]})
    write_whole(out / "sweep.svg", lambda path: draw_sweep(points, path))
    return points


def check_sweep(activations: Activations, options: SweepOptions) -> None:
    """Raises unless the sweep can be made of these activations; no model is needed.

    Raises:
        UsageError: no such layer or method, or fewer samples than concepts.
    """
    shards = activations.shards(one_layer(activations, options.layer))
    if (k := max(options.n_concepts)) > (n := sum(length for _, length in shards)):
        raise UsageError(f"Cannot learn {k} concepts from {n} samples. Ask for fewer.")
    for penalty in options.penalties or (None,):
        learners.make_learner(options.method, k, penalty=penalty)


def _measure(
    learner: learners.Learner,
    Z: np.ndarray,
    penalty: float | None,
    n_runs: int,
    overlap_of: Callable[[learners.Learner], float] | None,
) -> SweepPoint:
    """Fits `learner` to the states `Z` (n, d), and measures its concepts."""
    V = learner.fit_transform(Z)
    scores = describe_fit(Z, V, learner)
    stable = stability(learner, Z, n_runs=n_runs)
    U = learner.components_
    return SweepPoint(
        n_concepts=len(U),
        penalty=penalty,
        explained_variance=scores["explained_variance"],
        zeros=scores["zeros"],
        active=scores["active"],
        dead=int(scores["dead"]),
        stability_seeds=float(stable.seeds.mean()),
        stability_resamples=float(stable.resamples.mean()),
        similarity=float(pairwise_cosine(U).mean()),
        word_overlap=None if overlap_of is None else overlap_of(learner),
    )


def _states(activations: Activations, layer: Layer) -> np.ndarray:
    """The states of a layer (n, d), without the outliers that are not learned from."""
    Z = activations.states(layer)
    if not np.isfinite(Z).all():
        raise NumericsError(f"{(~np.isfinite(Z)).any(1).sum()} of {len(Z)} states of layer {layer} are not finite.")
    return Z[ordinary(Z)]


def _word_overlap(
    lmm: LMM, activations: Activations, layer: Layer, options: SweepOptions
) -> Callable[[learners.Learner], float]:
    """A function from a fitted learner to the overlap of its concepts' words."""
    check_model(lmm, activations)
    reader = word_reader(lmm, activations, layer, GroundingOptions(options.n_words, language=options.language))
    centred = options.form == "centred"
    return lambda learner: overlap(reader.beside(learner.intercept if centred else None).words(learner.components_))


def _penalties(Z: np.ndarray, options: SweepOptions) -> tuple[float | None, ...]:
    """The values of λ to try by default: none for a method without λ."""
    known = learners.make_learner(options.method, 1, form=options.form).get_params()
    if "penalty" not in known:
        return (None,)
    if known.get("form") == "centred":
        return (0.0, 0.02, 0.05, 0.1, 0.2)
    norm = float(np.median(np.linalg.norm(Z, axis=1)))
    return tuple(float(f"{share * norm:.2g}") for share in (0.0, 0.02, 0.1, 0.5))
