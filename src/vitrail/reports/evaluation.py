"""How well concepts are grounded: the section of a study's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from markupsafe import Markup

from vitrail.evaluation import EvaluationScores
from vitrail.evaluation import verdicts as follows
from vitrail.evaluation.results import CONTROLS, MEASURES, Ablation, MeasureName, Scored
from vitrail.reports.charts import INK, STYLE, TONE, figure_of, svg_of
from vitrail.reports.layout import Table
from vitrail.reports.tables import study_tables
from vitrail.scores import Estimate, Verdict
from vitrail.scores.verdicts import missing, number

#: Width of a chart in pixels: three fit beside each other, and one on a telephone.
WIDTH = 328


@dataclass(frozen=True)
class UnitCell:
    """The score of one concept by one measure, that of random words, and what follows."""

    score: float
    random: float
    verdict: Verdict


@dataclass(frozen=True)
class Unit:
    """One concept, its title, and a cell for each measure."""

    index: int
    title: str
    cells: tuple[UnitCell, ...]


@dataclass(frozen=True)
class View:
    """An evaluation as the page shows it; `sentences` say what follows from the main scores."""

    head: str
    sentences: list[tuple[str, list[Verdict]]]
    tables: list[Table]
    charts: list[tuple[str, Markup]]
    measures: tuple[str, ...]
    units: list[Unit]
    ablation: Ablation | None


@dataclass(frozen=True)
class Mark:
    """A line of a chart: a score, or one of its controls."""

    label: str
    level: Estimate
    own: bool


def view_of(scores: EvaluationScores, titles: Sequence[str]) -> View:
    """The scores of a study, ready for the template; `titles` are those of its concepts."""
    return View(
        f"{scores.n_test} held-out images and {scores.n_concepts} concepts",
        _sentences(scores),
        study_tables(scores),
        [(name, controls_chart(scores, measure)) for measure, name in MEASURES.items()],
        tuple(MEASURES.values()),
        [_unit(scores, k, title) for k, title in enumerate(titles)],
        scores.ablation,
    )


def _sentences(scores: EvaluationScores) -> list[tuple[str, list[Verdict]]]:
    """What follows from the scores on concepts, and on held-out images with the most active concept."""
    found = []
    for measure, name in MEASURES.items():
        for what, scored in (("concepts", scores.concepts[measure]), ("test images", scores.scored("images", measure))):
            if scored is not None:
                found.append((f"{name}, {what}", list(follows.of_controls(scored).values())))
    return found


def _unit(scores: EvaluationScores, k: int, title: str) -> Unit:
    found = [scores.concepts[m] for m in MEASURES]
    return Unit(k, title, tuple(UnitCell(s.units[k], s.unit_random[k], follows.of_concept(s, k)) for s in found))


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
        axes.set_xlabel(f"{MEASURES[measure]}, 95 % interval")
        label = "; ".join(f"{mark.label} {number(mark.level.mean)}" for mark in marks[::-1])
        return svg_of(figure, f"against-{measure}", f"{MEASURES[measure]} and its controls: {label}")


def _marks(label: str, scored: Scored | None) -> list[Mark]:
    """A score and its controls, as far as they have a mean."""
    if scored is None:
        return []
    controls = [Mark(CONTROLS[name], contrast.level, False) for name, contrast in scored.against.items()]
    return [mark for mark in (Mark(f"{label}: score", scored.score, True), *controls) if not missing(mark.level.mean)]
