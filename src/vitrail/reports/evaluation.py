"""How well concepts are grounded: the section of a study's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from vitrail.evaluation import EvaluationScores
from vitrail.evaluation import verdicts as follows
from vitrail.evaluation.results import (
    CONTROLS,
    MAP_MEASURES,
    MEASURES,
    Ablation,
    MapMeasureName,
    MapScores,
    MeasureName,
    PropertyScores,
    Scored,
)
from vitrail.reports.charts import INK, STYLE, TONE, figure_of, svg_of
from vitrail.reports.layout import Table
from vitrail.reports.tables import TOLD, study_tables
from vitrail.scores import Estimate, Verdict
from vitrail.scores.verdicts import missing, number

#: How marks of states, dictionary and best concept are drawn: told apart by shape as well as by colour.
HELD_STYLE: dict[str, dict[str, Any]] = {
    "state": {"marker": "|", "markersize": 11, "color": INK, "markeredgewidth": 1.6},
    "dictionary": {"marker": "o", "markersize": 5, "color": INK, "markerfacecolor": "none"},
    "concept": {"marker": "o", "markersize": 5.5, "color": TONE},
}
#: The measures of maps that are areas under curves.
_CURVES: tuple[MapMeasureName, ...] = ("deletion", "insertion")
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
    held: Markup
    mapped: Markup
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
        f"{scores.n_test} held-out images ({scores.test_from}) and {scores.n_concepts} concepts",
        _sentences(scores),
        study_tables(scores),
        [(name, controls_chart(scores, measure)) for measure, name in MEASURES.items()],
        tuple(MEASURES.values()),
        Markup("") if scores.truth is None or not scores.truth.values else held_chart(scores.truth),
        Markup("") if scores.maps is None or not scores.maps.curves["map"].deletion else maps_chart(scores.maps),
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
    if scores.truth is not None and scores.truth.values:
        what = "known factors" if scores.truth.known else "words of captions"
        found.append((f"AUROC of {what}, new images", list(follows.of_truth(scores.truth).values())))
    for of_maps, score in scores.maps.measures.items() if scores.maps is not None else ():
        if of_maps in ("deletion", "pointing"):
            found.append((f"Maps, {MAP_MEASURES[of_maps]}", list(follows.of_map(score).values())))
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


def held_chart(truth: PropertyScores) -> Markup:
    """What states, dictionary and best concept hold of every property, the worst held by a concept last."""
    values = sorted(truth.values, key=lambda value: value.told.concept.mean)
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(2 * WIDTH, 70 + 15 * len(values))
        for y, value in enumerate(values):
            low, high = value.told.concept.mean, value.told.state.mean
            axes.plot([low, high], [y, y], color=INK, alpha=0.25, linewidth=1)
        for name, style in HELD_STYLE.items():
            x = [getattr(value.told, name).mean for value in values]
            axes.plot(x, range(len(values)), linestyle="none", label=TOLD[name], **style)
        axes.set_yticks(range(len(values)), [f"{value.factor}: {value.value}" for value in values])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=INK, alpha=0.14, linewidth=0.6)
        axes.spines["left"].set_visible(False)
        axes.axvline(0.5, color=INK, linewidth=0.8, linestyle=":")
        axes.set_ylim(-0.7, len(values) - 0.3)
        axes.set_xlabel(f"AUROC on {truth.n_new} new samples (dotted: chance)")
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
        means = ", ".join(f"{TOLD[name]} {number(getattr(truth.mean, name).mean)}" for name in TOLD)
        return svg_of(figure, "held", f"How well {len(values)} properties of new samples are told; means: {means}")


def maps_chart(maps: MapScores) -> Markup:
    """The activation while pieces of images are blurred, and come back: by the map, and by pieces at random."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2 * WIDTH / 72, 240 / 72), layout="constrained")
        both = figure.subplots(1, 2, sharey=True)
        for axes, kind, what in zip(both, _CURVES, ("blurred", "sharp again"), strict=True):
            axes.spines[["top", "right"]].set_visible(False)
            for name, curve in maps.curves.items():
                values = getattr(curve, kind)
                own = name == "map"
                style: dict[str, Any] = {"color": TONE, "linewidth": 2.2} if own else {"color": INK, "linestyle": "--"}
                label = "largest shares first" if own else "pieces at random"
                axes.plot(np.linspace(0, 100, len(values)), values, label=label, **style)
            axes.set_xlabel(f"% of the image {what}")
            axes.grid(color=INK, alpha=0.14, linewidth=0.6)
            axes.set_title(kind.capitalize(), fontsize="medium")
        both[0].set_ylim(bottom=min(0.0, both[0].get_ylim()[0]))  # of both, when all is drawn
        both[0].set_ylabel("activation (its larger end is 1)")
        figure.legend(*both[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
        areas = ", ".join(
            f"{kind} {number(maps.measures[kind].score.mean)}" for kind in _CURVES if kind in maps.measures
        )
        return svg_of(figure, "map-curves", f"Activation of concepts while pieces of images change; areas: {areas}")


def _marks(label: str, scored: Scored | None) -> list[Mark]:
    """A score and its controls, as far as they have a mean."""
    if scored is None:
        return []
    controls = [Mark(CONTROLS[name], contrast.level, False) for name, contrast in scored.against.items()]
    return [mark for mark in (Mark(f"{label}: score", scored.score, True), *controls) if not missing(mark.level.mean)]
