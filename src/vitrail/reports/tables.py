"""Evaluations and comparisons of methods as tables, in the form of the papers', with what follows from each number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from vitrail.evaluation import EvaluationScores, MethodComparison
from vitrail.evaluation import verdicts as follows
from vitrail.evaluation.results import (
    CONTROLS,
    MAP_CONTROLS,
    MAP_MEASURES,
    MEASURES,
    RANDOM_WORDS,
    ControlName,
    DictionaryScore,
    Difference,
    MapMeasureName,
    MapScore,
    MapScores,
    PropertyScores,
    ProtocolName,
    Scored,
    Told,
)
from vitrail.learners import title_of
from vitrail.reports.layout import Cell, Table, TableRow, latex, markdown
from vitrail.scores import Disentanglement
from vitrail.scores.verdicts import Verdict, between, missing, number

#: On what words are scored, as tables name it.
SCORED_ON: dict[ProtocolName, str] = {"concepts": "concepts", "images": "test images"}
MEAN = "Mean ± standard deviation [95 % interval]"
MEASURED = (
    "CLIPScore: how well words fit images, 2.5 times the cosine of their embeddings; BERTScore: how well they fit what "
    "people wrote of the images."
)
#: What holds a property, as it is named in tables and charts.
TOLD = {"state": "the states", "dictionary": "the dictionary", "concept": "the best concept"}
TRUTH = (
    "AUROC [95 % interval] on new samples: the chance that a sample that has the property scores higher than one that "
    "lacks it (.50 is chance). What the states hold: a linear probe on them; what the dictionary holds: a linear probe "
    "on all activations; the best concept: chosen on the samples learned from."
)
MAPPED = (
    "Mean [95 % interval] over images. Deletion and insertion: the concept's activation while pieces of the image are "
    "blurred, or come back, those with the largest shares first, as the area under the curve. Flipped, shifted: the "
    "correlation with the map of the image that was flipped, or shifted."
)
SHOWN_PART = (
    "Pointing: the piece with the largest share touches the part of the image that shows what the concept, or the "
    "word, stands for. Energy: the share in the part of all that raises the value. Overlap: with the part, where the "
    "map is cut as is best for the other images."
)
RECOVERY = (
    "Disentanglement: 1 if each concept stands for one factor. Completeness: 1 if each factor stands in one concept. "
    "The other scores are shares of held-out images, beside what always saying the most common value gets right."
)

#: word → method → scores.
Evaluations = Mapping[str, Mapping[str, EvaluationScores]]


# ---- one study -------------------------------------------------------------------------------------------------------


def study_tables(scores: EvaluationScores) -> list[Table]:
    """The tables of one evaluation: every score beside its controls, the dictionary, and known factors."""
    made = [_controls_table(scores), _own_dictionary_table(scores)]
    if scores.truth:
        made += [_truth_table(scores, scores.truth), _own_recovery_table(scores.truth.recovery)]
    if scores.maps:
        made += [_maps_table(scores.maps), _map_parts_table(scores.maps)]
    return [table for table in made if table.rows]


def _controls_table(scores: EvaluationScores) -> Table:
    found: list[tuple[tuple[str, str], Scored]] = []
    for measure, name in MEASURES.items():
        found.append(((name, "concepts"), scores.concepts[measure]))
        found += [((name, f"test images, top {m}"), scored) for m, scored in scores.images[measure].items()]
    made = [control for control in CONTROLS if any(control in scored.against for _, scored in found)]
    explains = (
        f"{MEAN} of the score, and of the same score after one thing was replaced. {MEASURED} Concepts: words of each "
        "concept on its own most activating images; top n: words of the n most active concepts of a held-out image."
    )
    heads = ("measure", "scored on", "score", *(CONTROLS[control] for control in made))
    rows = tuple((labels, _with_controls(scored, made)) for labels, scored in found)
    return Table("scores", "Words against their controls", explains, heads, rows)


def _with_controls(scored: Scored, controls: Sequence[ControlName]) -> tuple[Cell, ...]:
    """The cells of a score and its controls; an empty one for a control that this score does not have."""
    said = follows.of_controls(scored)
    cells = [Cell.of(scored.against[c].level, said[c]) if c in said else Cell(None) for c in controls]
    return (Cell.of(scored.score), *cells)


def _own_dictionary_table(scores: EvaluationScores) -> Table:
    rows = tuple(
        ((name,), (_dictionary_cell(name, s), Cell(s.control, note=s.what))) for name, s in scores.dictionary.items()
    )
    explains = "Mean [95 % interval] over concepts or samples, beside the same score of the control that is named."
    return Table("dictionary", "The dictionary by itself", explains, ("score", "value", "by chance"), rows)


def _dictionary_cell(name: str, score: DictionaryScore) -> Cell:
    return Cell.interval(score.value, follows.of_dictionary(name, score))


def _truth_table(scores: EvaluationScores, truth: PropertyScores) -> Table:
    """What states, dictionary and single concepts hold, of each factor and each of its values."""
    rows: list[TableRow] = []
    if truth.values:
        rows.append((("all", f"all {len(truth.values)}"), _told_cells(truth.mean)))
    for factor, told in truth.by_factor.items():
        mine = [value for value in truth.values if value.factor == factor]
        rows.append(((factor, f"all {len(mine)}"), _told_cells(told)))
        rows += [((factor, str(value.value)), _told_cells(value.told, value.concept)) for value in mine]
    if truth.values:
        chance = tuple(Cell.interval(getattr(truth.by_chance, name)) for name in TOLD)
        rows.append((("by chance", "dealt other values"), chance))
    else:
        rows.append((("none", "too few samples have any"), (Cell(None),) * len(TOLD)))
    lost = [f"{number(e.mean)} [{number(e.low)}, {number(e.high)}]" for e in vars(truth.lost).values()]
    explains = (
        f"{TRUTH} New: {truth.n_new} samples ({scores.test_from}), none of the {truth.n_learned} learned from. "
        f"The dictionary loses {lost[0]} of the states, the best concept {lost[1]} of the dictionary. By chance: where "
        "the samples learned from are dealt the values of others, with the smallest and the largest of several deals."
    )
    title = "Against the truth" if truth.known else "Words of captions"
    return Table("truth", title, explains, ("factor", "value", *TOLD.values()), tuple(rows))


def _told_cells(told: Told, concept: int | None = None) -> tuple[Cell, ...]:
    cells = {name: Cell.interval(getattr(told, name), follows.of_told(getattr(told, name))) for name in TOLD}
    if concept is not None:
        cells["concept"] = replace(cells["concept"], note=f"concept {concept}")
    return tuple(cells.values())


def _own_recovery_table(recovery: Disentanglement | None) -> Table:
    """How well the factors are predicted from the activations of one dictionary, factor by factor."""
    rows: list[TableRow] = []
    if recovery:
        rows = [
            (("disentanglement",), (Cell(recovery.disentanglement), Cell(None))),
            (("completeness",), (Cell(recovery.completeness), Cell(None))),
        ]
        for name, accuracy in recovery.informativeness.items():
            majority = recovery.majority[name]
            value = Cell(accuracy, verdicts=(follows.of_accuracy(accuracy, majority),))
            rows.append(((f"{name}, told from the activations",), (value, Cell(majority, note="most common value"))))
    return Table("recovery", "Recovery of the factors", RECOVERY, ("score", "value", "by chance"), tuple(rows))


def _maps_table(maps: MapScores) -> Table:
    """Every measure of maps beside its controls."""
    heads, rows = _map_rows({"": maps.measures})
    parts = f" {SHOWN_PART}" if maps.parts else ""
    explains = (
        f"{MAPPED}{parts} {maps.n_maps} maps of {maps.n_images} held-out images, made by {maps.method}: {maps.answers} "
        "In the other columns something else stands in its place; p-values are two-sided, paired over images."
    )
    return Table("maps", "Where in the image: maps", explains, ("measure", "maps", *heads), rows)


def _map_parts_table(maps: MapScores) -> Table:
    """Whether maps show the part of the image that they should, part by part."""
    shown: tuple[MapMeasureName, ...] = ("pointing", "energy", "overlap")
    parts = {
        f"{name} ({part.maps} maps, {number(part.area.mean)} of the image)": {
            m: score for m, score in part.measures.items() if m in shown
        }
        for name, part in maps.parts.items()
    }
    heads, rows = _map_rows(parts)
    explains = (
        f"{MAPPED} A map is held against the part of the image that shows what the concept, or the word, stands for."
    )
    return Table("map-parts", "Do maps show the right part?", explains, ("part", "measure", "maps", *heads), rows)


def _map_rows(
    parts: Mapping[str, Mapping[MapMeasureName, MapScore]],
) -> tuple[list[str], tuple[TableRow, ...]]:
    """The headings of the controls, and a row for each measure of each part."""
    scored = [score for measures in parts.values() for score in measures.values()]
    made = [control for control in MAP_CONTROLS if any(control in score.against for score in scored)]
    rows: list[TableRow] = []
    for part, measures in parts.items():
        for measure, score in measures.items():
            said = follows.of_map(score)
            cells = [Cell.interval(score.against[c].level, said[c]) if c in said else Cell(None) for c in made]
            labels = (part, MAP_MEASURES[measure]) if part else (MAP_MEASURES[measure],)
            rows.append((labels, (Cell.interval(score.score), *cells)))
    return [MAP_CONTROLS[control] for control in made], tuple(rows)


# ---- several methods -------------------------------------------------------------------------------------------------


def tables(comparison: MethodComparison) -> dict[str, str]:
    """File name → text: the tables of a comparison, as `comparison.md` and `comparison.tex`."""
    made = all_tables(comparison)
    return {"comparison.md": "\n".join(map(markdown, made)), "comparison.tex": "\n".join(map(latex, made))}


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


def _score_table(comparison: MethodComparison, protocol: ProtocolName, top: int, title: str) -> Table:
    """A measure of each word and method; the controls are those of the main method."""
    rows: list[TableRow] = []
    has_noise = any("noise" in s.against for s in _all_scored(comparison, protocol, top))
    shown: tuple[ControlName, ...] = ("random", "noise") if has_noise else ("random",)
    for word, by_method in comparison.evaluations.items():
        for measure, name in MEASURES.items():
            found = {m: scores.scored(protocol, measure, top) for m, scores in by_method.items()}
            scored = {m: s for m, s in found.items() if s is not None}
            if len(scored) < len(found):
                continue
            against = scored[comparison.main].against
            best = _best({m: s.score.mean for m, s in scored.items()})
            tests = [t for t in comparison.tests if (t.word, t.measure, t.protocol) == (word, measure, protocol)]
            tests = tests if top == 1 else []  # of test images, only the most active concept is tested
            cells = [Cell.of(against[c].level) if c in against else Cell(None) for c in shown]
            cells += [Cell.of(s.score, *_of_method(s, tests, m, best), best=m == best) for m, s in scored.items()]
            rows.append(((word, name), (*cells, Cell.of(against["captions"].level))))
    heads = ("word", "measure", *(CONTROLS[c] for c in shown), *map(title_of, comparison.methods), CONTROLS["captions"])
    main = title_of(comparison.main)
    explains = f"{MEAN}; bold: best method of the row. {MEASURED} Random words and noise images: of {main}."
    return Table(f"{protocol}{top}" if protocol == "images" else protocol, title, explains, heads, tuple(rows))


def _all_scored(comparison: MethodComparison, protocol: ProtocolName, top: int) -> list[Scored]:
    scores = [s for by_method in comparison.evaluations.values() for s in by_method.values()]
    found = [s.scored(protocol, measure, top) for s in scores for measure in MEASURES]
    return [s for s in found if s is not None]


def _best(values: Mapping[str, float | None]) -> str | None:
    """The name of the largest value; None where there is no number."""
    known = {name: value for name, value in values.items() if value is not None and not missing(value)}
    return max(known, key=lambda name: known[name], default=None)


def _of_method(scored: Scored, tests: Sequence[Difference], method: str, best: str | None) -> list[Verdict]:
    """What follows from the score of a method: against random words, noise images, and the best method of the row.

    Where there are tests over all methods, these count; otherwise those of the score itself.
    """
    own = follows.of_controls(scored)
    pairs = {(t.first, t.second): t for t in tests}
    random = pairs.get((method, RANDOM_WORDS))
    said = [own["random"] if random is None else follows.of_difference(random)]
    said += [own["noise"]] if "noise" in own else []
    for (first, second), test in pairs.items():
        if best is not None and method != best and {first, second} == {method, best}:
            gain = test.gain.mean if first == method else -test.gain.mean
            said.append(between(gain, test.q, title_of(best)))
    return said


def _dictionary_table(evaluations: Evaluations) -> Table:
    """Every score of the dictionaries; in the last column the control of the last method."""
    methods = _methods(evaluations)
    rows: list[TableRow] = []
    for word, by_method in evaluations.items():
        for name in next(iter(by_method.values())).dictionary:
            found = [by_method[m].dictionary[name] for m in methods]
            cells = [_dictionary_cell(name, score) for score in found]
            rows.append(((word, name), (*cells, Cell(found[-1].control, note=found[-1].what))))
    heads = ("word", "score", *map(title_of, methods), f"by chance ({title_of(methods[-1])})")
    explains = "Mean [95 % interval] over concepts or samples; each method is held against its own control."
    return Table("dictionary", "Dictionaries", explains, heads, tuple(rows))


def _factor_table(evaluations: Evaluations) -> Table:
    """What the states hold of each factor, and what the dictionary and the best concepts of each method hold of it."""
    methods = _methods(evaluations)
    rows: list[TableRow] = []
    for word, by_method in evaluations.items():
        truths = [truth for m in methods if (truth := by_method[m].truth)]
        if len(truths) < len(methods):
            continue
        named = {"all": [t.mean for t in truths]} | {f: [t.by_factor[f] for t in truths] for f in truths[0].by_factor}
        for name, levels in named.items():
            best = max(range(len(levels)), key=lambda i: levels[i].concept.mean)
            cells = [Cell.interval(levels[0].state, follows.of_told(levels[0].state))]
            for i, told in enumerate(levels):
                concept = Cell.interval(told.concept, follows.of_told(told.concept))
                cells += [
                    Cell.interval(told.dictionary, follows.of_told(told.dictionary)),
                    replace(concept, best=i == best and len(levels) > 1),
                ]
            rows.append(((word, name), tuple(cells)))
    heads = [head for m in methods for head in (f"{title_of(m)}: dictionary", "best concept")]
    return Table("truth", "Against the truth", TRUTH, ("word", "factor", TOLD["state"], *heads), tuple(rows))


def _recovery_table(evaluations: Evaluations) -> Table:
    """How well the factors are recovered by each method, each score beside what chance gives."""
    methods = _methods(evaluations)
    rows: list[TableRow] = []
    for word, by_method in evaluations.items():
        columns = [_recovery_cells(by_method[m].truth) for m in methods]
        rows += [((word, name), tuple(c for column in columns for c in column[name])) for name in columns[0]]
    heads = [head for m in methods for head in (title_of(m), "by chance")]
    explains = (
        f"{RECOVERY} Informativeness: the mean of these shares over the factors; purity: of a concept's most "
        "activating images the share with its value, beside how common the value is."
    )
    return Table("recovery", "Recovery of the factors", explains, ("word", "score", *heads), tuple(rows))


def _recovery_cells(truth: PropertyScores | None) -> dict[str, tuple[Cell, Cell]]:
    """For each score of the recovery a cell, and a cell of its level by chance."""
    recovery = truth.recovery if truth else None
    concepts = truth.concepts if truth else ()
    purity = _beside((c.purity for c in concepts), (c.purity_by_chance for c in concepts))
    if recovery is None:
        empty = (Cell(None), Cell(None))
        return {"disentanglement": empty, "completeness": empty, "informativeness": empty, "purity": purity}
    return {
        "disentanglement": (Cell(recovery.disentanglement), Cell(None)),
        "completeness": (Cell(recovery.completeness), Cell(None)),
        "informativeness": _beside(recovery.informativeness.values(), recovery.majority.values()),
        "purity": purity,
    }


def _beside(values: Iterable[float], by_chance: Iterable[float]) -> tuple[Cell, Cell]:
    """The mean of the values that are known, and that of their levels by chance."""
    value, level = (_mean(v for v in numbers if not missing(v)) for numbers in (values, by_chance))
    said = () if value is None or level is None else (follows.of_accuracy(value, level),)
    return Cell(value, verdicts=said), Cell(level)


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return sum(known) / len(known) if known else None


def _methods(evaluations: Evaluations) -> list[str]:
    return list(next(iter(evaluations.values())))
