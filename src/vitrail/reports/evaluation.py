"""How well concepts are grounded, for the page of a study and for the page that compares methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from markupsafe import Markup

from vitrail.reports.charts import INK, STYLE, TONE, figure_of, svg_of
from vitrail.reports.layout import Table, number, p_value
from vitrail.reports.page import template, write_page
from vitrail.reports.tables import CONTROLS, MEASURES, TITLES, all_tables, study_tables

_HERE = Path(__file__).parent
LONG = {"clip": "CLIPScore", "bert": "BERTScore F1"}
#: Width of a chart: three fit beside each other, and one on a telephone.
WIDTH = 328


@dataclass(frozen=True)
class Unit:
    """One concept: for each measure its score, the random level, and q."""

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
    ablation: Mapping[str, Any] | None


def view_of(scores: Mapping[str, Any]) -> View:
    """The values of an `evaluation.json`, ready for the template."""
    scorers = f"{scores['n_test']} held-out images and {scores['n_concepts']} concepts"
    return View(
        scorers,
        study_tables(scores),
        [(LONG[m], against_chart(scores, m)) for m in MEASURES],
        _units(scores),
        scores.get("ablation"),
    )


def _units(scores: Mapping[str, Any]) -> list[Unit]:
    of = [scores["concepts"][m] for m in MEASURES]
    return [
        Unit(
            k,
            tuple(words),
            tuple(
                (number(s["units"][k]), number(s["unit_random"][k]), p_value(s["unit_q"][k]).removeprefix("= "))
                for s in of
            ),
        )
        for k, words in enumerate(scores["words"])
    ]


def against_chart(scores: Mapping[str, Any], measure: str) -> Markup:
    """A measure on test images (top 1) and on concepts: the score and its controls, with intervals."""
    parts = {"test images": scores["images"][measure].get("1"), "concepts": scores["concepts"][measure]}
    rows: list[tuple[str, Mapping[str, Any], bool]] = []
    for label, scored in parts.items():
        if scored is None:
            continue
        levels = {CONTROLS[n]: a["level"] for n, a in scored["against"].items() if n in CONTROLS}
        rows += [(f"{label}: score", scored["score"], True), *((n, level, False) for n, level in levels.items())]
    rows = [row for row in rows if row[1]["mean"] is not None][::-1]
    if not rows:
        return Markup("")
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(WIDTH, 45 + 19 * len(rows))
        for y, (_, level, own) in enumerate(rows):
            colour = TONE if own else INK
            if level["low"] is not None:
                axes.plot([level["low"], level["high"]], [y, y], color=colour, linewidth=2.5 if own else 1.2)
            axes.plot(level["mean"], y, "o", markersize=6 if own else 4, color=colour)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=INK, alpha=0.14, linewidth=0.6)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(f"{LONG[measure]}, 95 % interval")
        label = "; ".join(f"{name} {number(level['mean'])}" for name, level, _ in rows[::-1])
        return svg_of(figure, f"against-{measure}", f"{LONG[measure]} and its controls: {label}")


# ---- several methods -------------------------------------------------------------------------------------------------


def comparison_report(values: Mapping[str, Any], *, out: str | Path) -> Path:
    """The values of a `comparison.json` as one HTML file `out`: the same bytes for the same values."""
    out = Path(out)
    evaluations = values["evaluations"]
    first = next(iter(next(iter(evaluations.values())).values()))
    page = template("methods.html.j2").render(
        words=list(evaluations),
        methods=[TITLES.get(m, m) for m in next(iter(evaluations.values()))],
        first=first,
        model=Path(first["model"]).name or first["model"],
        tables=all_tables(values),
        real=[t for t in values["tests"] if t["real"]],
        tests=values["tests"],
        titles=TITLES | {"random words": "random words"},
        short=MEASURES,
        curves=_curves(values["curves"]),
        ablations={
            w: {m: of["ablation"] for m, of in by.items() if of.get("ablation")} for w, by in evaluations.items()
        },
        extra=Markup((_HERE / "evaluation.css").read_text(encoding="utf-8")),
        number_of=number,
    )
    write_page(out, page)
    return out


def _curves(curves: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, Markup]]]]:
    """For every word the titles and charts of its curves."""
    made = []
    for n, (word, of) in enumerate(curves.items()):
        charts = []
        if of.get("layers"):
            charts += [(f"{LONG[m]} by layer", layer_chart(of["layers"], m, f"layers-{n}")) for m in MEASURES]
        if of.get("n_concepts"):
            charts.append(("By number of concepts", concepts_chart(of["n_concepts"], f"k-{n}")))
        made.append((word, charts))
    return made


def layer_chart(layers: Sequence[Mapping[str, Any]], measure: str, name: str) -> Markup:
    """Agreement of words and images against depth, with the level of random words."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(WIDTH, 210)
        x = range(len(layers))
        for what, name_of, colour, style in (
            ("score", "words of concepts", TONE, "o-"),
            ("random", "random words", INK, "--"),
        ):
            levels = [entry[measure][what] for entry in layers]
            mean, low, high = ([_known(v[k]) for v in levels] for k in ("mean", "low", "high"))
            axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
            axes.plot(x, mean, style, color=colour, markersize=4, linewidth=1.4, label=name_of)
        axes.set_xticks(list(x), [str(entry["layer"]) for entry in layers])
        axes.set_xlabel("block (0: embeddings; final: after the norm)")
        axes.set_ylabel(LONG[measure])
        axes.grid(axis="y", color=INK, alpha=0.14, linewidth=0.6)
        axes.legend(frameon=False, fontsize=9)
        best = max(layers, key=lambda entry: _known(entry[measure]["gain"]["mean"]))
        return svg_of(figure, f"{name}-{measure}", f"{LONG[measure]} by layer; the gain is largest at {best['layer']}")


def concepts_chart(entries: Sequence[Mapping[str, Any]], name: str) -> Markup:
    """What is rebuilt, and how much words overlap, against the number of concepts."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(WIDTH, 210)
        x = [entry["n_concepts"] for entry in entries]
        held = [entry["explained variance, held out"] for entry in entries]
        axes.plot(x, [e["explained variance"] for e in entries], "o-", color=TONE, markersize=4, linewidth=1.4)
        axes.plot(x, [_known(h["mean"]) for h in held], "o--", color=TONE, markersize=4, linewidth=1.4)
        axes.plot(x, [e["overlap"] for e in entries], "s-", color=INK, markersize=4, linewidth=1.2)
        axes.plot(x, [e["overlap, random"] for e in entries], "s:", color=INK, markersize=4, linewidth=1.2)
        axes.set_xticks(x)
        axes.set_xlabel("concepts")
        axes.grid(axis="y", color=INK, alpha=0.14, linewidth=0.6)
        axes.legend(
            ("explained variance", "held out", "word overlap", "of random words"), frameon=False, fontsize=9, ncols=2
        )
        label = ", ".join(f"{k} concepts {number(h['mean'])}" for k, h in zip(x, held, strict=True))
        return svg_of(figure, name, f"explained variance of held-out states: {label}")


def _known(value: float | None) -> float:
    return float("nan") if value is None else value
