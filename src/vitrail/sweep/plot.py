"""A sweep as a plot: one panel per measure, K on the horizontal axis, one line per λ."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np

from vitrail.concepts import Choice, Tried
from vitrail.concepts.choosing import EXPLAINED_ENOUGH, STABLE_ENOUGH

#: What a sweep measures → the title of its panel.
MEASURES = {
    "auroc": "Words told by single concepts (AUROC)",
    "explained_variance": "Explained variance of samples left out",
    "stability_seeds": "Stability over seeds",
    "stability_resamples": "Stability over resamples",
    "word_overlap": "Word overlap",
    "similarity": "Similarity of concepts",
    "zeros": "Zero activations",
}
#: Measure → the level below which a choice is not taken, and what is said of that.
LEVELS = {
    "explained_variance": (EXPLAINED_ENOUGH, "too little is explained"),
    "stability_seeds": (STABLE_ENOUGH, "unstable"),
    "stability_resamples": (STABLE_ENOUGH, "unstable"),
}


def value_of(tried: Tried, measure: str) -> float:
    """One of the `MEASURES`; NaN where it was not measured."""
    return tried.auroc.mean if measure == "auroc" else float(getattr(tried, measure))


def lines_of(choice: Choice) -> list[tuple[str, list[Tried]]]:
    """What was tried, by λ: its label and its points by K; one line without a label for a method without λ."""
    penalties = sorted({t.penalty for t in choice.tried if not math.isnan(t.penalty)}) or [math.nan]
    labels = ["" if math.isnan(p) else f"λ = {p:.3g}" for p in penalties]
    by_size = sorted(choice.tried, key=lambda t: t.n_concepts)
    return [
        (label, [t for t in by_size if t.penalty == p or math.isnan(p)])
        for label, p in zip(labels, penalties, strict=True)
    ]


def measured(choice: Choice) -> list[str]:
    """The `MEASURES` that were measured."""
    return [name for name in MEASURES if not math.isnan(value_of(choice.chosen, name))]


def draw_sweep(choice: Choice) -> bytes:
    """The plot as SVG. A measure that was not measured gets no panel."""
    import matplotlib
    from matplotlib.figure import Figure

    names, lines = measured(choice), lines_of(choice)
    rows = -(-len(names) // 3)
    with matplotlib.rc_context({"svg.hashsalt": "vitrail", "font.size": 10}):
        figure = Figure(figsize=(10.5, 3.1 * rows), layout="constrained")
        tones = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(lines)))
        for place, name in enumerate(names):
            draw_measure(axes := figure.add_subplot(rows, 3, place + 1), choice, name, list(tones))
            axes.set_title(MEASURES[name], fontsize=11)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
        return buffer.getvalue()


def draw_measure(axes: Any, choice: Choice, measure: str, tones: list[Any], soft: str = "grey") -> None:
    """One measure against K, a line for each λ in one of `tones`, and a ring around the choice."""
    from matplotlib.ticker import MaxNLocator

    for (label, line), tone in zip(lines_of(choice), tones, strict=True):
        values = [value_of(t, measure) for t in line]
        axes.plot([t.n_concepts for t in line], values, "o-", markersize=4, color=tone, label=label)
    chosen = (choice.chosen.n_concepts, value_of(choice.chosen, measure))
    axes.plot(*chosen, "o", markersize=13, markerfacecolor="none", color=soft, label="the choice", linestyle="none")
    axes.set_xlabel("concepts")
    if measure in LEVELS:
        axes.axhline(LEVELS[measure][0], color=soft, linestyle=":", linewidth=1)
        axes.set_xlabel(f"concepts (dotted: below, {LEVELS[measure][1]})")
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.2)
