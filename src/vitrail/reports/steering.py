"""The page of a steering: captions before and after, at every strength; the search; methods side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from vitrail.reports.charts import INK, STYLE, TONES, figure_of, svg_of
from vitrail.reports.content import data_uri
from vitrail.reports.page import template, write_page
from vitrail.scores import Estimate, Verdict, verdicts
from vitrail.trials import ContenderResult, Gallery, Outcome, SearchResult


def steering_page(
    gallery: Gallery,
    *,
    out: str | Path,
    start: float = 1.0,
    search: SearchResult | None = None,
    results: Sequence[ContenderResult] = (),
) -> Path:
    """One self-contained HTML page, `out`: a gallery, a search, methods side by side.

    Args:
        start: the strength that is shown first; the largest one if the gallery does not have it.
        search: where and how strongly; None leaves that part out.
        results: methods side by side; none leave that part out.

    Raises:
        ArtifactError: the page cannot be written.
    """
    words = frozenset(w.lower() for w in gallery.marked)
    alphas = [level.alpha for level in gallery.levels]
    page = template("steering.html.j2").render(
        gallery=gallery,
        model=Path(gallery.model).name or gallery.model,
        alphas=alphas,
        shown=[
            (s, data_uri(s.thumbnail), [pieces(level.texts[i], words) for level in gallery.levels])
            for i, s in enumerate(gallery.shown)
        ],
        broken=[(level.loss.verdict.kind, str(level.loss.verdict)) for level in gallery.levels],
        worked=[level.counted for level in gallery.levels],
        start=alphas.index(start) if start in alphas else len(alphas) - 1,
        found=search,
        plot=None if search is None else pareto_chart(search),
        sides=[] if search is None else side_charts(search),
        side_effects=SIDE_EFFECTS,
        measured=side_effect,
        results=results,
        said=_said(search, results),
    )
    write_page(Path(out), page)
    return Path(out)


@dataclass(frozen=True)
class Said:
    """What follows from what a search picked, and from the effect of each method."""

    picked: list[Verdict]
    methods: list[list[Verdict]]


def _said(search: SearchResult | None, results: Sequence[ContenderResult]) -> Said:
    picked: list[Verdict] = []
    if search is not None and search.held_out is not None:
        gain = search.held_out.effect.mean - search.plain.effect.mean
        picked = [
            verdicts.against(gain, search.held_out.p, "no steering"),
            verdicts.within_budget(search.held_out.cost, search.budget),
            search.held_out.loss.verdict,
        ]
    elif search is not None:
        budget = verdicts.percent(search.budget)
        why = f"nothing that was tried is within the budget of {budget} with texts that are not broken"
        picked = [Verdict("bad", why)]
    plain = results[0].outcome.effect.mean if results else 0.0
    methods = [
        [verdicts.against(r.outcome.effect.mean - plain, r.outcome.p, "no steering"), r.outcome.loss.verdict]
        for r in results[1:]
    ]
    return Said(picked, [[], *methods])


def pieces(text: str, words: frozenset[str]) -> list[tuple[str, bool]]:
    """A text in pieces, and whether each is a word to be marked.

    >>> pieces("a red dog", frozenset({"red"}))
    [('a', False), ('red', True), ('dog', False)]
    """
    return [(piece, piece.lower().strip(".,!?") in words) for piece in text.split()]


#: What else a steering changes: name of a field of an outcome's side effects or of the figures of its texts → its name
#: on the page, and its scale there.
SIDE_EFFECTS = {
    "cider": ("CIDEr-D", 1.0),
    "bleu": ("BLEU", 1.0),
    "meteor": ("METEOR", 1.0),
    "clip_score": ("CLIPScore", 1.0),
    "perplexity": ("perplexity, unsteered model", 1.0),
    "words": ("words", 1.0),
    "repeats": ("texts that repeat a phrase, %", 100.0),
    "distinct": ("different bigrams, %", 100.0),
    "collateral": ("other answers changed, %", 100.0),
}


def pareto_chart(found: SearchResult) -> Markup:
    """Effect over cost of every layer and strength: the front joined, the picked one ringed, the budget dashed."""
    places = [(100 * t.outcome.cost, 100 * t.outcome.effect.mean) for t in found.trials]
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(520, 380)
        _scatter(axes, found, [x for x, _ in places], size=5)
        for t, place in zip(found.trials, places, strict=True):
            axes.annotate(f"{t.alpha:g}", place, xytext=(4, 3), textcoords="offset points", fontsize=10)
        front = sorted((places[i] for i in found.front), key=lambda place: place[0])
        axes.plot([x for x, _ in front], [y for _, y in front], color=INK, linewidth=0.8, alpha=0.6)
        axes.axvline(100 * found.budget, color=INK, linewidth=0.8, linestyle="--")
        axes.set(xlabel="what the rest lost, %", ylabel="as wanted, %")
        axes.legend(frameon=False)
        return svg_of(figure, "pareto", f"effect against cost of {len(places)} layers and strengths")


def side_charts(found: SearchResult) -> list[Markup]:
    """Effect over each side effect that was measured, a small chart each; no steering is dotted."""
    charts = []
    for key, (name, scale) in SIDE_EFFECTS.items():
        values = [_number(t.outcome, key) for t in found.trials]
        measured = [scale * v for v in values if v is not None]
        if len(measured) < len(values):
            continue
        with matplotlib.rc_context(STYLE):
            figure, axes = figure_of(300, 230)
            _scatter(axes, found, measured, size=4)
            if (plain := _number(found.unsteered, key)) is not None:
                axes.axvline(scale * plain, color=INK, linewidth=0.8, linestyle=":")
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.set(xlabel=name, ylabel="as wanted, %")
            charts.append(svg_of(figure, f"side-{key}", f"effect against {name}"))
    return charts


def side_effect(outcome: Outcome, key: str) -> float | Estimate | None:
    """What was measured by the name `key`; None where it was not."""
    return getattr(outcome.side, key, getattr(outcome.loss.steered, key, None))


def _number(outcome: Outcome, key: str) -> float | None:
    """A side effect as a number, the mean of an estimate; None where it was not measured."""
    value = side_effect(outcome, key)
    return value.mean if isinstance(value, Estimate) else value


def _scatter(axes: Axes, found: SearchResult, x: Sequence[float], size: float) -> None:
    """The effects of all trials over `x`, in the tones of their layers; the picked one ringed, broken texts crossed."""
    effects = [100 * t.outcome.effect.mean for t in found.trials]
    for i, layer in enumerate(dict.fromkeys(t.layer for t in found.trials)):
        own = [(v, e, t) for v, e, t in zip(x, effects, found.trials, strict=True) if t.layer == layer]
        axes.plot([], [], "o", color=f"#0a0b{i % TONES:02x}", markersize=size, label=f"layer {layer}")
        for v, e, t in own:
            mark = "x" if t.outcome.loss.broken else "o"
            axes.plot(v, e, mark, color=f"#0a0b{i % TONES:02x}", markersize=size)
    if found.picked is not None:
        at = [(t.layer, t.alpha) for t in found.trials].index((found.picked.layer, found.picked.alpha))
        axes.plot(x[at], effects[at], "o", markersize=2.4 * size, markerfacecolor="none", markeredgecolor=INK)
    axes.set_ylim(-4, 104)
    axes.grid(color=INK, alpha=0.14, linewidth=0.6)
    axes.set_axisbelow(True)
