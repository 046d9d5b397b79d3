"""Charts as inline SVG that take their colours from the page, so that one drawing serves light and dark.

Matplotlib draws with the placeholder colours `INK`, `TONE` and those of `tone_of`; `svg_of` replaces them by the
variables of the page."""

from __future__ import annotations

import io
import re
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

#: Number of colours on the page; concept k has colour k modulo this.
TONES = 7

INK, TONE = "#010203", "#040506"
_PLACEHOLDERS = {INK: "currentColor", TONE: "var(--tone)"} | {
    f"#0a0b{i:02x}": f"var(--glass-{i})" for i in range(TONES)
}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, found, and set in the page's font
    "svg.hashsalt": "vitrail",  # ids are the same in every run
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "font.size": 11,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "legend.fontsize": 10,
    "axes.linewidth": 0.6,
}
_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))


def tone_of(k: int) -> str:
    """The placeholder of the colour of concept `k`, or of any series."""
    return f"#0a0b{k % TONES:02x}"


def histogram(activations: Float[np.ndarray, " n"], name: str) -> Markup:
    """A histogram of the activations that are not zero; empty where all are."""
    active = activations[activations != 0]
    if not len(active):
        return Markup("")
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(260, 70)
        low, high = min(0.0, float(active.min())), max(0.0, float(active.max()))
        axes.hist(active, bins=24, range=(low, high), color=TONE, rwidth=0.86)
        if low < 0:
            axes.axvline(0, color=INK, linewidth=0.6)
        axes.yaxis.set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.set_xlim(low, high)
        return svg_of(
            figure, name, f"histogram of {len(active)} activations from {active.min():.3g} to {active.max():.3g}"
        )


def figure_of(width: float, height: float) -> tuple[Figure, Axes]:
    """A new figure, `width` by `height` pixels, and its axes, without a frame above and to the right."""
    figure = Figure(figsize=(width / 72, height / 72), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(width=0.6, length=3)
    return figure, axes


def svg_of(figure: Figure, name: str, label: str) -> Markup:
    """The figure as an `<svg>` element.

    Args:
        name: the ids of its parts begin with it, so that several charts can stand on one page.
        label: what a screen reader says of it.
    """
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata=_NO_METADATA)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would style the whole page
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"| version="[^"]*"', "", svg)
    svg = re.sub(r'id="', f'id="{name}-', svg)
    svg = re.sub(r'(url\(|xlink:href=")#', rf"\1#{name}-", svg)
    svg = re.sub("|".join(_PLACEHOLDERS), lambda m: _PLACEHOLDERS[m.group()], svg)
    return Markup(re.sub(r'^<svg width="([\d.]+)pt" height="[\d.]+pt"', _opening(label), svg))


def _opening(label: str) -> str:
    return f'<svg class="chart" role="img" aria-label="{escape(label)}" width="\\1"'
