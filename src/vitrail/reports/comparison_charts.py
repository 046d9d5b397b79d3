"""The plots of a comparison, as SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes

from vitrail.comparison import ConceptChange, LayerComparison
from vitrail.comparison.models import LayerMove
from vitrail.comparison.recovery import AlphaCurve
from vitrail.reports.charts import INK, STYLE, TONE, figure_of, svg_of, tone_of
from vitrail.scores import Correlation, Estimate


def recovery_chart(concepts: Sequence[ConceptChange]) -> Markup:
    """T-Overlap of each concept with its match, before and after the shift, with the interval of the latter."""
    known = [c for c in concepts if not math.isnan(c.t_overlap_before)]
    known = sorted(known, key=lambda c: (c.t_overlap_before, c.t_overlap_after))
    if not known:
        return Markup("")
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(420, 60 + 16 * len(known))
        for y, c in enumerate(known):
            colour = tone_of(c.index)
            before, after = c.t_overlap_before, c.t_overlap_after
            low, high = c.t_overlap_interval
            if not math.isnan(low):
                axes.plot([low, high], [y, y], color=colour, linewidth=6, alpha=0.18, solid_capstyle="round")
            axes.plot([before, after], [y, y], color=colour, linewidth=1.4)
            axes.plot(before, y, "o", markersize=5, markerfacecolor="none", markeredgecolor=colour)
            axes.plot(after, y, "o", markersize=5, color=colour)
        axes.set_yticks(range(len(known)), [str(c.index) for c in known])
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(-3, 103)
        axes.set_xlabel("T-Overlap with the match, %: ○ before, ● after the shift")
        _grid(axes, "x")
        better = sum(c.t_overlap_after > c.t_overlap_before for c in known)
        return svg_of(figure, "recovery", f"T-Overlap rises with the shift in {better} of {len(known)} concepts")


def alpha_chart(curve: AlphaCurve) -> Markup:
    """Mean T-Overlap over α, on the half of the samples where α is chosen and on the other half."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(340, 230)
        axes.plot(curve.alphas, curve.chosen_on, color=INK, alpha=0.45, linewidth=1, label="half it is chosen on")
        axes.plot(curve.alphas, curve.reported_on, color=TONE, linewidth=1.8, label="the other half")
        axes.axvline(curve.best, color=INK, linewidth=0.8, linestyle=":")
        axes.set(xlabel="α", ylabel="mean T-Overlap, %")
        axes.legend(frameon=False)
        _grid(axes, "y")
        return svg_of(figure, "alpha", f"mean T-Overlap over alpha; the best is {curve.best:g}")


def consistency_chart(concepts: Sequence[ConceptChange], correlation: Correlation) -> Markup:
    """Consistency of each concept's moves against the cosine gain of its shift."""
    known = [c for c in concepts if not math.isnan(c.consistency + c.cosine_gain)]
    if not known:
        return Markup("")
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(340, 230)
        for c in known:
            axes.plot(c.consistency, c.cosine_gain, "o", markersize=5, color=tone_of(c.index))
            axes.annotate(str(c.index), (c.consistency, c.cosine_gain), (4, 3), textcoords="offset points", fontsize=10)
        axes.axhline(0, color=INK, linewidth=0.6, alpha=0.4)
        axes.set(xlabel="consistency of the moves", ylabel="cosine gain of the shift")
        r = correlation.r
        said = "there is no correlation" if math.isnan(r) else f"r is {r:.2f}, p is {correlation.p:.2g}"
        return svg_of(figure, "consistency", f"consistency against cosine gain; {said}")


def series_chart(found: Sequence[LayerComparison], over: Literal["layer", "step"]) -> Markup:
    """Consistency, cosine gain and magnitude over layers or steps, with their intervals."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(420, 230)
        x = range(len(found))
        for n, name in enumerate(("consistency", "cosine_gain", "magnitude")):
            values: list[Estimate] = [getattr(one, name) for one in found]
            means, low, high = ([getattr(value, end) for value in values] for end in ("mean", "low", "high"))
            axes.plot(x, means, marker="o", markersize=4, color=tone_of(n), label=name.replace("_", " "))
            if not any(map(math.isnan, low)):
                axes.fill_between(x, low, high, color=tone_of(n), alpha=0.15, linewidth=0)
        axes.set_xticks(x, [str(getattr(one, over)) for one in found])
        axes.set_xlabel(over)
        axes.legend(frameon=False)
        _grid(axes, "y")
        return svg_of(figure, f"by-{over}", f"consistency, cosine gain and magnitude of the shifts by {over}")


def layers_chart(layers: Sequence[LayerMove]) -> Markup:
    """How far the states of each layer moved on the same input."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(340, 200)
        x = range(len(layers))
        axes.bar(x, [move.relative for move in layers], color=TONE, width=0.7)
        axes.set_xticks(x, [str(move.layer) for move in layers])
        axes.set(xlabel="layer", ylabel="‖move‖ / ‖state‖")
        _grid(axes, "y")
        most = max(layers, key=lambda move: move.relative)
        return svg_of(figure, "layers", f"relative move of the states by layer; the largest is layer {most.layer}")


def divergence_chart(values: Sequence[float]) -> Markup:
    """KL divergence of the next token along the caption."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(340, 200)
        axes.plot(range(1, len(values) + 1), values, color=TONE, linewidth=1.6)
        axes.set(xlabel="token of the caption", ylabel="KL, nats", ylim=(0, None))
        _grid(axes, "y")
        return svg_of(figure, "divergence", "divergence of the next-token distributions along the caption")


def _grid(axes: Axes, axis: Any) -> None:
    axes.grid(axis=axis, color=INK, alpha=0.14, linewidth=0.6)
    axes.set_axisbelow(True)
