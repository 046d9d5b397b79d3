"""A sweep as a plot: one panel per measure, K on the horizontal axis, one line per λ."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitrail.scores.verdicts import EXPLAINED, UNSTABLE
from vitrail.sweep.point import MEASURES, SweepPoint

#: Measure → the level from which it counts, and what is said of less.
LEVELS = {
    "explained_variance": (EXPLAINED, "less than half is explained"),
    "stability_seeds": (UNSTABLE, "unstable, do not interpret"),
    "stability_resamples": (UNSTABLE, "unstable, do not interpret"),
}


def draw_sweep(points: Sequence[SweepPoint], path: Path) -> None:
    """Writes the plot to the SVG file `path`. A measure that the points do not have gets no panel."""
    import matplotlib
    from matplotlib.figure import Figure

    measures = [name for name in MEASURES if getattr(points[0], name) is not None]
    penalties = sorted({p.penalty for p in points}, key=lambda penalty: -1.0 if penalty is None else penalty)
    rows = -(-len(measures) // 3)
    with matplotlib.rc_context({"svg.hashsalt": "vitrail", "font.size": 10}):
        figure = Figure(figsize=(10.5, 3.1 * rows), layout="constrained")
        for place, name in enumerate(measures):
            _panel(figure.add_subplot(rows, 3, place + 1), points, penalties, name)
        if penalties != [None]:
            handles, labels = figure.axes[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=len(penalties), frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _panel(axes: Any, points: Sequence[SweepPoint], penalties: Sequence[float | None], measure: str) -> None:
    import matplotlib
    from matplotlib.ticker import MaxNLocator

    tones = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(penalties)))
    for penalty, tone in zip(penalties, tones, strict=True):
        line = sorted((p for p in points if p.penalty == penalty), key=lambda p: p.n_concepts)
        label = "" if penalty is None else f"λ = {penalty:.3g}"
        axes.plot([p.n_concepts for p in line], [getattr(p, measure) for p in line], "o-", color=tone, label=label)
    if measure in LEVELS:
        level, said = LEVELS[measure]
        axes.axhline(level, color="grey", linestyle=":", linewidth=1)
        axes.text(0.98, 0.03, f"below {level:g}: {said}", transform=axes.transAxes, ha="right", color="grey")
    axes.set_title(MEASURES[measure], fontsize=11)
    axes.set_xlabel("concepts")
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]), top=max(1.0, axes.get_ylim()[1]))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
