"""The plots of a comparison, as SVG that takes its colours from the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes

from vitrail.reports.charts import INK, STYLE, TONE, TONES, figure_of, svg_of

Row = Mapping[str, Any]


def recovery_chart(concepts: Sequence[Row]) -> Markup:
    """T-Overlap of each concept with its match, before and after the shift, with the interval of the latter."""
    known = [c for c in concepts if c["t_overlap_before"] is not None]
    known = sorted(known, key=lambda c: (c["t_overlap_before"], c["t_overlap_after"]))
    if not known:
        return Markup("")
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(420, 60 + 16 * len(known))
        for y, c in enumerate(known):
            colour = _tone(c["index"])
            before, after = c["t_overlap_before"], c["t_overlap_after"]
            low, high = c["t_overlap_interval"]
            if low is not None:
                axes.plot([low, high], [y, y], color=colour, linewidth=6, alpha=0.18, solid_capstyle="round")
            axes.plot([before, after], [y, y], color=colour, linewidth=1.4)
            axes.plot(before, y, "o", markersize=5, markerfacecolor="none", markeredgecolor=colour)
            axes.plot(after, y, "o", markersize=5, color=colour)
        axes.set_yticks(range(len(known)), [str(c["index"]) for c in known])
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.set_xlim(-3, 103)
        axes.set_xlabel("T-Overlap with the match, %: ○ before, ● after the shift")
        _grid(axes, "x")
        better = sum(c["t_overlap_after"] > c["t_overlap_before"] for c in known)
        return svg_of(figure, "recovery", f"T-Overlap rises with the shift in {better} of {len(known)} concepts")


def alpha_chart(sweep: Row) -> Markup:
    """Mean T-Overlap over α, on the half of the samples where α is chosen and on the other."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(340, 230)
        axes.plot(sweep["alphas"], sweep["chosen_on"], color=INK, alpha=0.45, linewidth=1, label="half it is chosen on")
        axes.plot(sweep["alphas"], sweep["reported_on"], color=TONE, linewidth=1.8, label="the other half")
        axes.axvline(sweep["best"], color=INK, linewidth=0.8, linestyle=":")
        axes.set(xlabel="α", ylabel="mean T-Overlap, %")
        axes.legend(frameon=False, fontsize=8)
        _grid(axes, "y")
        return svg_of(figure, "alpha", f"mean T-Overlap over alpha; the best is {sweep['best']:g}")


def consistency_chart(concepts: Sequence[Row], correlation: Row) -> Markup:
    """Consistency of each concept's moves against the cosine gain of its shift."""
    known = [c for c in concepts if c["consistency"] is not None and c["cosine_gain"] is not None]
    if not known:
        return Markup("")
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(340, 230)
        for c in known:
            axes.plot(c["consistency"], c["cosine_gain"], "o", markersize=5, color=_tone(c["index"]))
            axes.annotate(
                str(c["index"]), (c["consistency"], c["cosine_gain"]), (4, 3), textcoords="offset points", fontsize=7
            )
        axes.axhline(0, color=INK, linewidth=0.6, alpha=0.4)
        axes.set(xlabel="consistency of the moves", ylabel="cosine gain of the shift")
        r = correlation["r"]
        said = "no correlation can be said" if r is None else f"r is {r:.2f}, p is {correlation['p']:.2g}"
        return svg_of(figure, "consistency", f"consistency against cosine gain; {said}")


def points_chart(points: Sequence[Row], over: str, name: str) -> Markup:
    """Consistency, cosine gain and magnitude over layers or steps, with their intervals."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(420, 230)
        x = range(len(points))
        for n, key in enumerate(("consistency", "cosine_gain", "magnitude")):
            values = [p[key]["mean"] for p in points]
            axes.plot(x, values, marker="o", markersize=4, color=_tone(n), label=key.replace("_", " "))
            if all(p[key]["low"] is not None for p in points):
                low, high = ([p[key][end] for p in points] for end in ("low", "high"))
                axes.fill_between(x, low, high, color=_tone(n), alpha=0.15, linewidth=0)
        axes.set_xticks(x, [str(p[over]) for p in points])
        axes.set_xlabel(over)
        axes.legend(frameon=False, fontsize=8)
        _grid(axes, "y")
        return svg_of(figure, name, f"consistency, cosine gain and magnitude of the shifts by {over}")


def layers_chart(layers: Sequence[Row]) -> Markup:
    """How far the states of each layer moved on the same input."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(340, 200)
        x = range(len(layers))
        axes.bar(x, [move["relative"] for move in layers], color=TONE, width=0.7)
        axes.set_xticks(x, [str(move["layer"]) for move in layers])
        axes.set(xlabel="layer", ylabel="‖move‖ / ‖state‖")
        _grid(axes, "y")
        most = max(layers, key=lambda move: move["relative"])
        return svg_of(figure, "layers", f"relative move of the states by layer; the largest is layer {most['layer']}")


def divergence_chart(values: Sequence[float]) -> Markup:
    """KL divergence of the next token along the caption."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(340, 200)
        axes.plot(range(1, len(values) + 1), values, color=TONE, linewidth=1.6)
        axes.set(xlabel="token of the caption", ylabel="KL, nats", ylim=(0, None))
        _grid(axes, "y")
        return svg_of(figure, "divergence", "divergence of the next-token distributions along the caption")


def _tone(k: int) -> str:
    return f"#0a0b{k % TONES:02x}"


def _grid(axes: Axes, axis: Any) -> None:
    axes.grid(axis=axis, color=INK, alpha=0.14, linewidth=0.6)
    axes.set_axisbelow(True)
