"""Why there are so many concepts: the choice of K and λ beside its alternatives, as a section of a study's page."""

from __future__ import annotations

import math
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup

from vitrail.concepts import Choice, Tried
from vitrail.reports.charts import INK, STYLE, figure_of, svg_of, tone_of
from vitrail.scores.verdicts import number
from vitrail.sweep.plot import MEASURES, draw_measure, lines_of, measured, value_of

#: The measures that are drawn; the table has them all.
DRAWN = ("auroc", "explained_variance", "stability_resamples", "word_overlap")


@dataclass(frozen=True)
class ChoiceView:
    """A choice as the page shows it.

    Args:
        reason: in words.
        charts: title and drawing of each measure.
        heads: of the table: what was measured.
        rows: of the table: each choice, its values, and whether it was taken.
    """

    reason: str
    charts: list[tuple[str, Markup]]
    heads: list[str]
    rows: list[tuple[str, list[str], bool]]


def choice_view(choice: Choice) -> ChoiceView:
    """A choice, ready for the template."""
    names = measured(choice)
    heads = [MEASURES[name] for name in names] + ["active per sample", "dead or duplicate"]
    rows = [(t.name, _values(t, names), t == choice.chosen) for t in choice.tried]
    return ChoiceView(choice.reason, [(MEASURES[n], _chart(choice, n)) for n in DRAWN if n in names], heads, rows)


def _values(tried: Tried, names: list[str]) -> list[str]:
    return [
        *(number(value_of(tried, name)) for name in names),
        f"{tried.active:.1f}",
        f"{tried.dead + tried.duplicates}",
    ]


def _chart(choice: Choice, measure: str) -> Markup:
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(300, 190)
        draw_measure(axes, choice, measure, [tone_of(i) for i in range(len(lines_of(choice)))], INK)
        axes.grid(axis="y", color=INK, alpha=0.14, linewidth=0.6)
        figure.legend(loc="outside upper center", ncols=4, frameon=False, handlelength=1, columnspacing=1)
        values = {t.name: value_of(t, measure) for t in choice.tried}
        said = "; ".join(f"{name}: {number(value)}" for name, value in values.items() if not math.isnan(value))
        return svg_of(figure, f"choice-{measure}", f"{MEASURES[measure]} by number of concepts. {said}")
