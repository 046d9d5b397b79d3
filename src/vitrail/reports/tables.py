"""Evaluations and comparisons of methods as tables, in the form of the papers'."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from vitrail.evaluation import EvaluationScores, MethodComparison
from vitrail.evaluation.dictionary_scores import OVERLAP, PAIRWISE_COSINE
from vitrail.evaluation.results import (
    MEASURES,
    RANDOM_WORDS,
    ControlName,
    Difference,
    FactorScores,
    MeasureName,
    ProtocolName,
    Scored,
)
from vitrail.learners import LEARNERS
from vitrail.reports.layout import Cell, Table, latex, markdown, missing, p_value
from vitrail.scores import Disentanglement

#: The measures as they are named in tables.
SHORT: dict[MeasureName, str] = {"clip": "CS", "bert": "BS"}
#: The controls as they are named in tables, in the order of the columns.
CONTROLS: dict[ControlName, str] = {
    "random": "Rnd-Words",
    "frequency": "as frequent words",
    "shuffled": "shuffled",
    "noise": "Noise-Imgs",
    "captions": "GT-captions",
}
LEGEND = (
    "Mean ± std [95 % interval]; * better than random words (q < .05); bold: best method of the row; "
    "≈ no real difference to the best (q ≥ .05). CS: CLIPScore, BS: BERTScore F1."
)

#: word → method → scores.
Evaluations = Mapping[str, Mapping[str, EvaluationScores]]


def title_of(method: str) -> str:
    """The name of a method for readers; one that this version does not know keeps the name that it has in artifacts."""
    return LEARNERS[method].title if method in LEARNERS else method


# ---- one study -------------------------------------------------------------------------------------------------------


def study_tables(scores: EvaluationScores) -> list[Table]:
    """The tables of one evaluation: every score beside its controls, the dictionary, and known factors."""
    made = [_controls_table(scores), _own_dictionary_table(scores)]
    if scores.truth:
        made.append(_factor_table({scores.word: {scores.method: scores}}))
        made.append(_own_recovery_table(scores.truth.recovery))
    return [table for table in made if table.rows]


def _controls_table(scores: EvaluationScores) -> Table:
    rows = []
    for measure in MEASURES:
        parts = {"concepts": scores.concepts[measure]}
        parts |= {f"test images, top {m}": scored for m, scored in scores.images[measure].items()}
        rows += [((SHORT[measure], label), _with_controls(scored)) for label, scored in parts.items()]
    caption = (
        "Mean ± std [95 % interval]; p: how likely the score is for the control (Rnd-Words, as frequent words, "
        "shuffled), or a difference to it (Noise-Imgs, GT-captions). CS: CLIPScore, BS: BERTScore F1."
    )
    return Table("scores", caption, ("", "", "score", *CONTROLS.values()), tuple(rows))


def _with_controls(scored: Scored) -> tuple[Cell, ...]:
    """The cells of a score and its controls; an empty one for a control that was not made."""
    found = [scored.against.get(name) for name in CONTROLS]
    controls = [Cell.of(c.level, f"p {p_value(c.p)}") if c else Cell(None) for c in found]
    return (Cell.of(scored.score), *controls)


def _own_dictionary_table(scores: EvaluationScores) -> Table:
    rows = tuple(
        (("", name), (Cell.interval(s.value), Cell(s.control, marks=s.what))) for name, s in scores.dictionary.items()
    )
    return Table("dictionary", "The dictionary by itself.", ("", "score", "value", "by chance"), rows)


def _own_recovery_table(recovery: Disentanglement | None) -> Table:
    """How well the factors are predicted from the activations of one dictionary, factor by factor."""
    rows: list[tuple[tuple[str, ...], tuple[Cell, ...]]] = []
    if recovery:
        rows = [
            (("", "disentanglement"), (Cell(recovery.disentanglement), Cell(None))),
            (("", "completeness"), (Cell(recovery.completeness), Cell(None))),
        ]
        rows += [
            (
                ("", f"{name}, told from the activations"),
                (Cell(accuracy), Cell(recovery.majority[name], marks="most common value")),
            )
            for name, accuracy in recovery.informativeness.items()
        ]
    caption = "Recovery of the factors; what is told is the share that is right of the held-out images."
    return Table("recovery", caption, ("", "score", "value", "by chance"), tuple(rows))


# ---- several methods -------------------------------------------------------------------------------------------------


def tables(comparison: MethodComparison) -> dict[str, str]:
    """File name → text: the tables of a comparison, as `comparison.md` and `comparison.tex`."""
    made = all_tables(comparison)
    return {
        "comparison.md": "\n".join(markdown(t) for t in made),
        "comparison.tex": "\n".join(latex(t) for t in made),
    }


def all_tables(comparison: MethodComparison) -> list[Table]:
    """The tables of a comparison that have rows."""
    evaluations = comparison.evaluations
    made = [
        _score_table(comparison, "images", 1, "Test images: words of the most active concept"),
        _score_table(comparison, "images", 3, "Test images: words of the three most active concepts"),
        _score_table(comparison, "concepts", 1, "Concepts: words against their own most activating images"),
        _dictionary_table(evaluations),
    ]
    if any(scores.truth for by_method in evaluations.values() for scores in by_method.values()):
        made += [_factor_table(evaluations), _recovery_table(evaluations)]
    return [table for table in made if table.rows]


def _score_table(comparison: MethodComparison, protocol: ProtocolName, top: int, caption: str) -> Table:
    """A measure of each word and method; the controls are those of the main method."""
    rows, noise = [], False
    tested = top == 1  # of test images, only the most active concept is tested
    for word, by_method in comparison.evaluations.items():
        for measure in MEASURES:
            found = {m: scores.scored(protocol, measure, top) for m, scores in by_method.items()}
            scored = {m: s for m, s in found.items() if s is not None}
            if len(scored) < len(found):
                continue
            against = scored[comparison.main].against
            noise = noise or "noise" in against
            best = _best({m: s.score.mean for m, s in scored.items()})
            tests = [t for t in comparison.tests if (t.word, t.measure, t.protocol) == (word, measure, protocol)]
            cells = [Cell.of(against[name].level) for name in ("random", "noise") if name in against]
            cells += [Cell.of(s.score, _marks(tests, m, best) if tested else "", m == best) for m, s in scored.items()]
            rows.append(((word, SHORT[measure]), (*cells, Cell.of(against["captions"].level))))
    controls = ("Rnd-Words", "Noise-Imgs") if noise else ("Rnd-Words",)
    heads = ("word", "", *controls, *map(title_of, comparison.methods), "GT-captions")
    tail = LEGEND if tested else "Mean ± std over images [95 % interval]."
    name = f"{protocol}{top}" if protocol == "images" else protocol
    return Table(name, f"{caption}. {tail}", heads, tuple(rows))


def _best(values: Mapping[str, float | None]) -> str | None:
    """The name of the largest value; None where there is no number."""
    known = {name: value for name, value in values.items() if value is not None and not missing(value)}
    return max(known, key=lambda name: known[name], default=None)


def _marks(tests: Sequence[Difference], method: str, best: str | None) -> str:
    """The marks of a method, from the tests of its row; see `LEGEND`."""
    marks = ""
    for test in tests:
        pair = {test.first, test.second}
        if pair == {method, RANDOM_WORDS} and test.real:
            marks += "*"
        elif best is not None and pair == {method, best} and method != best and not test.real:
            marks += "≈"
    return marks


def _dictionary_table(evaluations: Evaluations) -> Table:
    """Every score of the dictionaries; in the last column the control of the last method."""
    methods = _methods(evaluations)
    rows = []
    for word, by_method in evaluations.items():
        for name in next(iter(by_method.values())).dictionary:
            found = [by_method[m].dictionary[name] for m in methods]
            rows.append(((word, name), (*(Cell.interval(s.value) for s in found), Cell(found[-1].control))))
    heads = ("word", "score", *map(title_of, methods), f"by chance ({title_of(methods[-1])})")
    caption = f"Dictionaries. {OVERLAP.capitalize()} and {PAIRWISE_COSINE}: lower is better."
    return Table("dictionary", caption, heads, tuple(rows))


def _factor_table(evaluations: Evaluations) -> Table:
    """How well the concepts of each method match each factor, on the samples learned from and on held-out ones."""
    methods = _methods(evaluations)
    rows = []
    for word, by_method in evaluations.items():
        truths = [by_method[m].truth for m in methods]
        known = next((t for t in truths if t), None)
        for factor in known.best if known else ():
            found = {m: t.best.get(factor) if t else None for m, t in zip(methods, truths, strict=True)}
            best = _best(found)
            cells = []
            for method, truth in zip(methods, truths, strict=True):
                cells += [Cell(found[method], best=method == best), _factor_cell(truth, "held_out", factor)]
            rows.append(((word, factor), (*cells, _factor_cell(truths[-1], "by_chance", factor))))
    heads = [head for m in methods for head in (title_of(m), "held out")]
    caption = (
        "The truth: mean over a factor's values of the best AUROC among the concepts, and of those concepts on "
        "held-out images."
    )
    return Table("truth", caption, ("word", "factor", *heads, "labels permuted"), tuple(rows))


def _factor_cell(truth: FactorScores | None, name: str, factor: str) -> Cell:
    """One of the levels of a factor; an empty cell where it is not known."""
    levels = {} if truth is None else {"held_out": truth.held_out, "by_chance": truth.by_chance}[name]
    return Cell.interval(levels[factor]) if factor in levels else Cell(None)


def _recovery_table(evaluations: Evaluations) -> Table:
    """How well the factors are recovered by each method, each score beside what chance gives."""
    methods = _methods(evaluations)
    rows = []
    for word, by_method in evaluations.items():
        columns = [_recovery_cells(by_method[m].truth) for m in methods]
        rows += [((word, name), tuple(c for column in columns for c in column[name])) for name in columns[0]]
    heads = [head for m in methods for head in (title_of(m), "by chance")]
    caption = (
        "Recovery of the factors. Informativeness: accuracy on held-out images, mean over factors, beside the most "
        "common value; purity of most activating images, beside how common the value is."
    )
    return Table("recovery", caption, ("word", "score", *heads), tuple(rows))


def _recovery_cells(truth: FactorScores | None) -> dict[str, tuple[Cell, Cell]]:
    """For each score of the recovery a cell, and a cell of its level by chance."""
    recovery = truth.recovery if truth else None
    concepts = truth.concepts if truth else ()
    purity = (_mean_cell(c.purity for c in concepts), _mean_cell(c.purity_by_chance for c in concepts))
    if recovery is None:
        empty = (Cell(None), Cell(None))
        return {"disentanglement": empty, "completeness": empty, "informativeness": empty, "purity": purity}
    accuracy, majority = recovery.informativeness.values(), recovery.majority.values()
    return {
        "disentanglement": (Cell(recovery.disentanglement), Cell(None)),
        "completeness": (Cell(recovery.completeness), Cell(None)),
        "informativeness": (_mean_cell(accuracy), _mean_cell(majority)),
        "purity": purity,
    }


def _mean_cell(values: Iterable[float]) -> Cell:
    """The mean of the values that are known."""
    known = [v for v in values if not missing(v)]
    return Cell(sum(known) / len(known) if known else None)


def _methods(evaluations: Evaluations) -> list[str]:
    return list(next(iter(evaluations.values())))
