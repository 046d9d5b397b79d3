"""How well concepts are grounded: the section of a study's page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib
from markupsafe import Markup

from vitrail.evaluation import EvaluationScores
from vitrail.evaluation.results import MEASURES, Ablation, MeasureName, Scored
from vitrail.reports.charts import INK, STYLE, TONE, figure_of, svg_of
from vitrail.reports.layout import Table, missing, number, p_value
from vitrail.reports.tables import CONTROLS, study_tables
from vitrail.scores import Estimate

#: The measures as they are named in charts.
LONG: dict[MeasureName, str] = {"clip": "CLIPScore", "bert": "BERTScore F1"}
#: Width of a chart in pixels: three fit beside each other, and one on a telephone.
WIDTH = 328


@dataclass(frozen=True)
class Unit:
    """One concept: for each measure its score, that of random words, and q."""

    index: int
    words: tuple[str, ...]
    cells: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class View:
    """An evaluation as the page shows it."""

    head: str
    tables: list[Table]
    charts: list[tuple[str, Markup]]
    units: list[Unit]
    ablation: Ablation | None


@dataclass(frozen=True)
class Mark:
    """A line of a chart: a score, or one of its controls."""

    label: str
    level: Estimate
    own: bool


def style() -> Markup:
    """The style sheet that evaluations add to a page."""
    return Markup((Path(__file__).parent / "evaluation.css").read_text(encoding="utf-8"))


def view_of(scores: EvaluationScores) -> View:
    """The scores of a study, ready for the template."""
    return View(
        f"{scores.n_test} held-out images and {scores.n_concepts} concepts",
        study_tables(scores),
        [(LONG[m], controls_chart(scores, m)) for m in MEASURES],
        [_unit(scores, k) for k in range(len(scores.words))],
        scores.ablation,
    )


def _unit(scores: EvaluationScores, k: int) -> Unit:
    found = [scores.concepts[m] for m in MEASURES]
    cells = [(number(s.units[k]), number(s.unit_random[k]), p_value(s.unit_q[k]).removeprefix("= ")) for s in found]
    return Unit(k, tuple(scores.words[k]), tuple(cells))


def controls_chart(scores: EvaluationScores, measure: MeasureName) -> Markup:
    """A measure on test images (top 1) and on concepts: the score and its controls, with intervals."""
    marks = _marks("test images", scores.scored("images", measure)) + _marks("concepts", scores.concepts[measure])
    marks = marks[::-1]
    if not marks:
        return Markup("")
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(WIDTH, 45 + 19 * len(marks))
        for y, mark in enumerate(marks):
            colour, level = TONE if mark.own else INK, mark.level
            if not missing(level.low):
                axes.plot([level.low, level.high], [y, y], color=colour, linewidth=2.5 if mark.own else 1.2)
            axes.plot(level.mean, y, "o", markersize=6 if mark.own else 4, color=colour)
        axes.set_yticks(range(len(marks)), [mark.label for mark in marks])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=INK, alpha=0.14, linewidth=0.6)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"{LONG[measure]}, 95 % interval")
        label = "; ".join(f"{mark.label} {number(mark.level.mean)}" for mark in marks[::-1])
        return svg_of(figure, f"against-{measure}", f"{LONG[measure]} and its controls: {label}")


def _marks(label: str, scored: Scored | None) -> list[Mark]:
    """A score and its controls, as far as they have a mean."""
    if scored is None:
        return []
    controls = [Mark(CONTROLS[name], contrast.level, False) for name, contrast in scored.against.items()]
    return [mark for mark in (Mark(f"{label}: score", scored.score, True), *controls) if not missing(mark.level.mean)]
