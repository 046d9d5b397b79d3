"""The page of a steering: captions before and after, at every strength; the search; methods side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup

from vitrail.report.charts import INK, STYLE, TONES, figure_of, svg_of
from vitrail.report.content import data_uri
from vitrail.report.page import template, write_page


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


def pareto_chart(found: Mapping[str, Any]) -> Markup:
    """Effect over cost of every layer and strength; the front joined, the pick ringed, the budget dashed."""
    points = found["points"]
    layers = list(dict.fromkeys(p["layer"] for p in points))
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(460, 300)
        for i, layer in enumerate(layers):
            own = [p for p in points if p["layer"] == layer]
            colour = f"#0a0b{i % TONES:02x}"
            axes.plot(
                [100 * p["cost"] for p in own], [100 * p["effect"]["mean"] for p in own], "o", color=colour,
                markersize=5, label=f"layer {layer}",
            )  # fmt: skip
            for p in own:
                place = (100 * p["cost"], 100 * p["effect"]["mean"])
                axes.annotate(f"{p['alpha']:g}", place, xytext=(4, 3), textcoords="offset points", fontsize=7)
        front = sorted((points[i] for i in found["front"]), key=lambda p: p["cost"])
        axes.plot(
            [100 * p["cost"] for p in front], [100 * p["effect"]["mean"] for p in front], color=INK, linewidth=0.8,
            alpha=0.6,
        )  # fmt: skip
        axes.axvline(100 * found["budget"], color=INK, linewidth=0.8, linestyle="--")
        if (picked := found["picked"]) is not None:
            place = (100 * picked["cost"], 100 * picked["effect"]["mean"])
            axes.plot(*place, "o", markersize=12, markerfacecolor="none", markeredgecolor=INK)
        axes.set(xlabel="what the rest lost, %", ylabel="as wanted, %", ylim=(-4, 104))
        axes.legend(frameon=False, fontsize=8)
        axes.grid(color=INK, alpha=0.14, linewidth=0.6)
        axes.set_axisbelow(True)
        return svg_of(figure, "pareto", f"effect against cost of {len(points)} layers and strengths")
