"""How many concepts, and how sparse: what changes with K and λ, as numbers and as a plot.

OUT/sweep.json  sweep.svg
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vitrail import learners
from vitrail.activations import Activations
from vitrail.artifacts import write_json, write_whole
from vitrail.concepts import describe_fit, one_layer, ordinary
from vitrail.concepts.stability import stability as stability_of
from vitrail.errors import NumericsError, UsageError
from vitrail.grounding import GroundingOptions, check_model, word_reader
from vitrail.lmm import LMM
from vitrail.progress import Progress, silent
from vitrail.scores import overlap, pairwise_cosine

#: What a sweep measures, and how the plot calls it.
MEASURES = {
    "explained_variance": "explained variance",
    "zeros": "zero activations",
    "stability_seeds": "stability over seeds",
    "stability_resamples": "stability over resamples",
    "similarity": "similarity of concepts",
    "word_overlap": "word overlap",
}


@dataclass(frozen=True)
class Point:
    """One choice of K and λ, and what comes of it; `penalty` is None for a method without one.

    `explained_variance`, `zeros`, `active` and `dead` as in `concepts.describe_fit`; stability as in
    `vitrail.stability`, mean over concepts; `similarity` is the mean |cosine| of two concepts; `word_overlap` is
    CoX-LMM's, of the ten top words, None where no model was there to tell them.
    """

    n_concepts: int
    penalty: float | None
    explained_variance: float
    zeros: float
    active: float
    dead: int
    stability_seeds: float
    stability_resamples: float
    similarity: float
    word_overlap: float | None


def sweep(
    activations: Activations,
    *,
    out: str | Path,
    layer: int | str | None = None,
    method: str = "semi-nmf",
    n_concepts: Sequence[int] = (5, 10, 20, 40),
    penalties: Sequence[float] | None = None,
    seed: int = 0,
    n_runs: int = 3,
    lmm: LMM | None = None,
    n_words: int = 10,
    language: str = "en",
    progress: Progress = silent,
) -> list[Point]:
    """Learns at every K and λ, and writes what comes of it to the folder `out`.

    Args:
        penalties: λ of Semi-NMF; 0, and 0.02, 0.1 and 0.5 of the states' median norm by default.
        n_runs: runs behind the stability, over seeds and over resamples each.
        lmm: the model that made the activations, for the overlap of words; `language` is that of the words.

    Raises:
        UsageError: no such layer or method, fewer samples than concepts, or an empty range.
        ArtifactError: the activations were made by another model.
    """
    layer = one_layer(activations, layer)
    Z = activations.states(layer)
    if not np.isfinite(Z).all():
        raise NumericsError(f"{(~np.isfinite(Z)).any(1).sum()} of {len(Z)} states of layer {layer} are not finite.")
    Z = Z[ordinary(Z)]
    if not n_concepts or (penalties is not None and not penalties):
        raise UsageError("Nothing to try: name at least one number of concepts and one penalty.")
    if max(n_concepts) > len(Z):
        raise UsageError(f"Cannot learn {max(n_concepts)} concepts from {len(Z)} samples. Ask for fewer.")
    if lmm is not None:
        check_model(lmm, activations)
    options = GroundingOptions(n_words, language=language)
    reader = None if lmm is None else word_reader(lmm, activations, layer, options)
    choices = list(itertools.product(n_concepts, _ladder(Z, method) if penalties is None else penalties))
    points = []
    for done, (k, penalty) in enumerate(choices):
        progress("sweep", done, len(choices))
        learner = learners.make_learner(method, k, penalty=penalty, seed=seed)
        V = learner.fit_transform(Z)
        scores = describe_fit(Z, V, learner)
        stable = stability_of(learner, Z, n_runs=n_runs)
        shared = None
        if reader is not None:
            shared = overlap(reader.words(learner.components_))
        points.append(
            Point(
                k,
                penalty,
                scores["explained_variance"],
                scores["zeros"],
                scores["active"],
                int(scores["dead"]),
                float(stable.seeds.mean()),
                float(stable.resamples.mean()),
                float(pairwise_cosine(learner.components_).mean()),
                shared,
            )
        )
    progress("sweep", len(choices), len(choices))
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    asked = {"layer": layer, "method": method, "seed": seed, "n_runs": n_runs, "samples": len(Z)}
    write_json(out / "sweep.json", {**asked, "points": [asdict(point) for point in points]})
    write_whole(out / "sweep.svg", lambda path: draw(points, path))
    return points


def draw(points: Sequence[Point], path: Path) -> None:
    """A panel per measure: K along the bottom, one line per λ."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    measures = {name: title for name, title in MEASURES.items() if getattr(points[0], name) is not None}
    penalties = sorted({point.penalty for point in points}, key=lambda p: -1.0 if p is None else p)
    tones = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(penalties)))
    with matplotlib.rc_context({"svg.hashsalt": "vitrail", "font.size": 9}):
        figure = Figure(figsize=(9, 2.7 * -(-len(measures) // 3)), layout="constrained")
        for place, (name, title) in enumerate(measures.items()):
            axes = figure.add_subplot(-(-len(measures) // 3), 3, place + 1)
            for penalty, tone in zip(penalties, tones, strict=True):
                mine = sorted((p for p in points if p.penalty == penalty), key=lambda p: p.n_concepts)
                label = "" if penalty is None else f"λ = {penalty:.3g}"
                axes.plot([p.n_concepts for p in mine], [getattr(p, name) for p in mine], "o-", color=tone, label=label)
            axes.set_title(title, fontsize=10)
            axes.set_xlabel("concepts")
            axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]), top=max(1.0, axes.get_ylim()[1]))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(alpha=0.2)
        if penalties != [None]:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=len(penalties), frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _ladder(Z: np.ndarray, method: str) -> list[float | None]:
    """The penalties to try: none for a method that has none."""
    if method not in learners.LEARNERS or "penalty" not in learners.LEARNERS[method]().get_params():
        return [None]
    norm = float(np.median(np.linalg.norm(Z, axis=1)))
    return [float(f"{share * norm:.2g}") for share in (0.0, 0.02, 0.1, 0.5)]
