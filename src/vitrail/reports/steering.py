"""The page of a steering: captions before and after, at every strength; the search; methods side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from vitrail.reports.charts import INK, STYLE, TONES, figure_of, svg_of
from vitrail.reports.content import data_uri
from vitrail.reports.page import template, write_page


@dataclass(frozen=True)
class Shown:
    """An image, what was asked of it, and what was said at each strength; the first is without steering."""

    name: str
    thumbnail: bytes
    request: str
    texts: tuple[str, ...]


def steering_page(
    out: str | Path,
    *,
    title: str,
    model: str,
    about: Mapping[str, Any],
    alphas: Sequence[float],
    shown: Sequence[Shown],
    worked: Sequence[float] = (),
    marked: Sequence[str] = (),
    found: Mapping[str, Any] | None = None,
    results: Sequence[Mapping[str, Any]] = (),
    start: int | None = None,
) -> Path:
    """One self-contained HTML page `out`.

    Args:
        about: what to say of the steering, names to values.
        alphas: the strengths, the first of which is 0.
        worked: at each strength the share of texts that are as wanted.
        marked: words to mark in the texts.
        found: a search, as `Found.as_dict` gives it.
        results: methods side by side, as `Result.as_dict` gives them.
        start: the place in `alphas` that is shown at first; the last one by default.
    """
    words = frozenset(w.lower() for w in marked)
    page = template("steering.html.j2").render(
        title=title,
        model=Path(model).name or model,
        about=about,
        alphas=list(alphas),
        shown=[(s, data_uri(s.thumbnail), [pieces(t, words) for t in s.texts]) for s in shown],
        worked=list(worked),
        start=len(alphas) - 1 if start is None else start,
        found=found,
        plot=None if found is None else pareto_chart(found),
        sides=[] if found is None else side_charts(found),
        side_effects=SIDE_EFFECTS,
        results=results,
        extra=Markup((Path(__file__).parent / "steering.css").read_text(encoding="utf-8")),
    )
    write_page(Path(out), page)
    return Path(out)


def pieces(text: str, words: frozenset[str]) -> list[tuple[str, bool]]:
    """A text in pieces, and whether each is a word to be marked.

    >>> pieces("a red dog", frozenset({"red"}))
    [('a', False), ('red', True), ('dog', False)]
    """
    return [(piece, piece.lower().strip(".,!?") in words) for piece in text.split()]


#: What else a steering changes: key of an outcome's side effects → its name on the page, and its scale there.
SIDE_EFFECTS = {
    "cider": ("CIDEr-D", 1.0),
    "bleu": ("BLEU", 1.0),
    "clip_score": ("CLIPScore", 1.0),
    "perplexity": ("perplexity, unsteered model", 1.0),
    "distinct": ("different bigrams, %", 100.0),
    "collateral": ("other answers changed, %", 100.0),
}


def pareto_chart(found: Mapping[str, Any]) -> Markup:
    """Effect over cost of every layer and strength; the front joined, the pick ringed, the budget dashed."""
    points = found["points"]
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(460, 300)
        _scatter(axes, found, [100 * p["cost"] for p in points], size=5)
        for p in points:
            place = (100 * p["cost"], 100 * p["effect"]["mean"])
            axes.annotate(f"{p['alpha']:g}", place, xytext=(4, 3), textcoords="offset points", fontsize=7)
        front = sorted((points[i] for i in found["front"]), key=lambda p: p["cost"])
        axes.plot(
            [100 * p["cost"] for p in front], [100 * p["effect"]["mean"] for p in front], color=INK, linewidth=0.8,
            alpha=0.6,
        )  # fmt: skip
        axes.axvline(100 * found["budget"], color=INK, linewidth=0.8, linestyle="--")
        axes.set(xlabel="what the rest lost, %", ylabel="as wanted, %")
        axes.legend(frameon=False, fontsize=8)
        return svg_of(figure, "pareto", f"effect against cost of {len(points)} layers and strengths")


def side_charts(found: Mapping[str, Any]) -> list[Markup]:
    """Effect over each side effect that was measured, a small chart each; without steering is dotted."""
    charts = []
    for key, (name, scale) in SIDE_EFFECTS.items():
        values = [_value(p["side"].get(key)) for p in found["points"]]
        if any(v is None for v in values):
            continue
        with matplotlib.rc_context(STYLE):
            figure, axes = figure_of(220, 180)
            _scatter(axes, found, [scale * v for v in values if v is not None], size=4)
            if (plain := _value(found["unsteered"]["side"].get(key))) is not None:
                axes.axvline(scale * plain, color=INK, linewidth=0.8, linestyle=":")
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.set(xlabel=name, ylabel="as wanted, %")
            charts.append(svg_of(figure, f"side-{key}", f"effect against {name}"))
    return charts


def _value(side: Any) -> float | None:
    """The number of a side effect, which may stand with its interval."""
    return side["mean"] if isinstance(side, Mapping) else side


def _scatter(axes: Axes, found: Mapping[str, Any], x: Sequence[float], size: float) -> None:
    """The effects of all points over `x`, in the tones of their layers, the pick ringed."""
    points = found["points"]
    for i, layer in enumerate(dict.fromkeys(p["layer"] for p in points)):
        own = [(v, 100 * p["effect"]["mean"]) for v, p in zip(x, points, strict=True) if p["layer"] == layer]
        axes.plot(*zip(*own, strict=True), "o", color=f"#0a0b{i % TONES:02x}", markersize=size, label=f"layer {layer}")
    if (picked := found["picked"]) is not None:
        at = next(i for i, p in enumerate(points) if (p["layer"], p["alpha"]) == (picked["layer"], picked["alpha"]))
        place = (x[at], 100 * points[at]["effect"]["mean"])
        axes.plot(*place, "o", markersize=2.4 * size, markerfacecolor="none", markeredgecolor=INK)
    axes.set_ylim(-4, 104)
    axes.grid(color=INK, alpha=0.14, linewidth=0.6)
    axes.set_axisbelow(True)
