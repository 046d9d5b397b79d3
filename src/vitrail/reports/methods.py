"""The page that compares methods: tables, curves and tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes

from vitrail.evaluation import MethodComparison
from vitrail.evaluation import verdicts as follows
from vitrail.evaluation.results import MEASURES, Curves, LayerScores, MeasureName, SizeScores
from vitrail.learners import title_of
from vitrail.reports.charts import INK, STYLE, TONE, figure_of, svg_of
from vitrail.reports.evaluation import WIDTH
from vitrail.reports.page import template, write_page
from vitrail.reports.tables import SCORED_ON, all_tables
from vitrail.scores import Estimate, Verdict
from vitrail.scores.verdicts import missing, number


def methods_page(comparison: MethodComparison, *, out: str | Path) -> Path:
    """A comparison of methods as one HTML file `out`: the same bytes for the same comparison.

    Raises:
        ArtifactError: `out` cannot be written.
    """
    out = Path(out)
    first = next(iter(next(iter(comparison.evaluations.values())).values()))
    page = template("methods.html.j2").render(
        words=list(comparison.evaluations),
        methods=[title_of(m) for m in comparison.methods],
        first=first,
        model=Path(first.model).name or first.model,
        tables=all_tables(comparison),
        tests=comparison.tests,
        real=[t for t in comparison.tests if t.real],
        title_of=title_of,
        measures=MEASURES,
        on=SCORED_ON,
        curves=[(word, _charts(curves, n)) for n, (word, curves) in enumerate(comparison.curves.items())],
        ablations={
            word: {m: scores.ablation for m, scores in by_method.items() if scores.ablation}
            for word, by_method in comparison.evaluations.items()
        },
    )
    write_page(out, page)
    return out


#: What a chart says at each of its points, in words.
Said = list[tuple[str, Verdict]]


def _charts(curves: Curves, n: int) -> list[tuple[str, Markup, Said]]:
    """The titles and charts of the curves of word number `n`, and what follows from each."""
    charts: list[tuple[str, Markup, Said]] = []
    for measure, name in MEASURES.items() if curves.layers else ():
        said = [(f"layer {scores.layer}", follows.of_layer(scores.of(measure))) for scores in curves.layers]
        charts.append((f"{name} by layer", layer_chart(curves.layers, measure, f"layers-{n}"), said))
    if curves.n_concepts:
        charts.append(("By number of concepts", size_chart(curves.n_concepts, f"k-{n}"), []))
    return charts


def layer_chart(layers: Sequence[LayerScores], measure: MeasureName, name: str) -> Markup:
    """The scores of words of concepts and of random words against the layer."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(WIDTH, 210)
        points = [scores.of(measure) for scores in layers]
        _band(axes, [p.score for p in points], TONE, "o-", "words of concepts")
        _band(axes, [p.random for p in points], INK, "--", "random words")
        axes.set_xticks(range(len(layers)), [str(scores.layer) for scores in layers])
        axes.set_xlabel("block (0: embeddings; final: after the norm)")
        axes.set_ylabel(MEASURES[measure])
        axes.grid(axis="y", color=INK, alpha=0.14, linewidth=0.6)
        axes.legend(frameon=False)
        gains = {str(scores.layer): p.gain.mean for scores, p in zip(layers, points, strict=True)}
        best = max(gains, key=lambda layer: float("-inf") if missing(gains[layer]) else gains[layer])
        return svg_of(figure, f"{name}-{measure}", f"{MEASURES[measure]} by layer; the gain is largest at {best}")


def _band(axes: Axes, levels: Sequence[Estimate], colour: str, line: str, label: str) -> None:
    """A line of means within the band of their intervals."""
    x = range(len(levels))
    axes.fill_between(x, [v.low for v in levels], [v.high for v in levels], color=colour, alpha=0.13, linewidth=0)
    axes.plot(x, [v.mean for v in levels], line, color=colour, markersize=4, linewidth=1.4, label=label)


def size_chart(sizes: Sequence[SizeScores], name: str) -> Markup:
    """Explained variance and word overlap against the number of concepts."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(WIDTH, 210)
        x = [s.n_concepts for s in sizes]
        held_out = [s.explained_variance_held_out.mean for s in sizes]
        axes.plot(x, [s.explained_variance for s in sizes], "o-", color=TONE, markersize=4, linewidth=1.4)
        axes.plot(x, held_out, "o--", color=TONE, markersize=4, linewidth=1.4)
        axes.plot(x, [s.overlap for s in sizes], "s-", color=INK, markersize=4, linewidth=1.2)
        axes.plot(x, [s.overlap_random for s in sizes], "s:", color=INK, markersize=4, linewidth=1.2)
        axes.set_xticks(x)
        axes.set_xlabel("concepts")
        axes.grid(axis="y", color=INK, alpha=0.14, linewidth=0.6)
        names = ("explained variance", "held out", "word overlap", "of random words")
        axes.legend(names, frameon=False, ncols=2)
        label = ", ".join(f"{k} concepts {number(v)}" for k, v in zip(x, held_out, strict=True))
        return svg_of(figure, name, f"explained variance of held-out states: {label}")
