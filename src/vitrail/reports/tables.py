"""Comparisons and evaluations as tables, in the form of the papers'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vitrail.reports.layout import Cell, Table, latex, markdown, p_value

TITLES = {"simple": "Simple", "pca": "PCA", "kmeans": "k-means", "semi-nmf": "Semi-NMF"}
MEASURES = {"clip": "CS", "bert": "BS"}


def tables(values: Mapping[str, Any]) -> dict[str, str]:
    """File name → text: the tables of a comparison, as `comparison.md` and `comparison.tex`."""
    made = all_tables(values)
    return {
        "comparison.md": "\n".join(markdown(t) for t in made),
        "comparison.tex": "\n".join(latex(t) for t in made),
    }


def all_tables(values: Mapping[str, Any]) -> list[Table]:
    """The tables that a comparison has the figures for."""
    evaluations = values["evaluations"]
    made = [
        _scores(values, "images", "1", "Test images: words of the most active concept"),
        _scores(values, "images", "3", "Test images: words of the three most active concepts"),
        _scores(values, "concepts", "", "Concepts: words against their own most activating images"),
        _dictionary(evaluations),
    ]
    if any(of["truth"] for by_method in evaluations.values() for of in by_method.values()):
        made += [_truth(evaluations), _recovery(evaluations)]
    return [t for t in made if t.rows]


LEGEND = (
    "Mean ± std [95 % interval]; * better than random words (q < .05); bold: best method of the row; "
    "≈ no real difference to the best (q ≥ .05). CS: CLIPScore, BS: BERTScore F1."
)


CONTROLS = {
    "random": "Rnd-Words",
    "frequency": "as frequent words",
    "shuffled": "shuffled",
    "noise": "Noise-Imgs",
    "captions": "GT-captions",
}


def study_tables(scores: Mapping[str, Any]) -> list[Table]:
    """The tables of a single evaluation: every score beside its controls, the dictionary's, and the truth if known."""
    rows, names = [], list(CONTROLS)
    for measure, short in MEASURES.items():
        parts = {"concepts": scores["concepts"][measure]}
        parts |= {f"test images, top {m}": s for m, s in scores["images"][measure].items()}
        for label, scored in parts.items():
            against = scored["against"]
            cells = [_cell(scored["score"])]
            for name in names:
                known = against.get(name)
                cells.append(_cell(known["level"], f"p {p_value(known['p'])}") if known else Cell(None))
            rows.append(((short, label), tuple(cells)))
    heads = ("", "", "score", *CONTROLS.values())
    caption = (
        "Mean ± std [95 % interval]; p: how likely the score is for the control (Rnd-Words, as frequent words, "
        "shuffled), or a difference to it (Noise-Imgs, GT-captions). CS: CLIPScore, BS: BERTScore F1."
    )
    figures = tuple(
        (("", name), (_range(f["value"]), Cell(f["control"], marks=f["what"])))
        for name, f in scores["dictionary"].items()
    )
    made = [
        Table("scores", caption, heads, tuple(rows)),
        Table("dictionary", "The dictionary by itself.", ("", "score", "value", "by chance"), figures),
    ]
    if scores["truth"]:
        made.append(_truth({scores["word"]: {scores["method"]: scores}}))
        made.append(_recovered(scores["truth"]["recovery"] or {}))
    return [t for t in made if t.rows]


def _recovered(recovery: Mapping[str, Any]) -> Table:
    """How well the factors can be had back from the concepts of one dictionary, factor by factor."""
    rows = [
        (("", name), (Cell(recovery[name]), Cell(None))) for name in ("disentanglement", "completeness") if recovery
    ]
    common = recovery.get("majority", {})
    rows += [
        (("", f"{name}, told from the activations"), (Cell(right), Cell(common[name], marks="most common value")))
        for name, right in recovery.get("informativeness", {}).items()
    ]
    caption = "Recovery of the factors; what is told is the share that is right of the held-out images."
    return Table("recovery", caption, ("", "score", "value", "by chance"), tuple(rows))


def _scores(values: Mapping[str, Any], protocol: str, top: str, caption: str) -> Table:
    main, evaluations = values["main"], values["evaluations"]
    methods = list(next(iter(evaluations.values())))
    rows = []
    noise = False
    for word, by_method in evaluations.items():
        for measure, short in MEASURES.items():
            scored = {m: _at(of, protocol, measure, top) for m, of in by_method.items()}
            if any(s is None for s in scored.values()):
                continue
            against = scored[main]["against"]
            noise = noise or "noise" in against
            means = {m: s["score"]["mean"] for m, s in scored.items()}
            best = max((m for m in means if means[m] is not None), key=lambda m: means[m], default=None)
            # tests are of the most active concept and of concepts; no marks where nothing was tested
            tested = top in ("", "1")
            cells = [_cell(against["random"]["level"])]
            cells += [_cell(against["noise"]["level"])] if "noise" in against else []
            for m, s in scored.items():
                marks = _marks(values["tests"], word, measure, protocol, m, best) if tested else ""
                cells.append(_cell(s["score"], marks, m == best))
            cells.append(_cell(against["captions"]["level"]))
            rows.append(((word, short), tuple(cells)))
    heads = ("word", "", "Rnd-Words", *(("Noise-Imgs",) if noise else ()), *(TITLES.get(m, m) for m in methods))
    tail = f" {LEGEND}" if top in ("", "1") else " Mean ± std over images [95 % interval]."
    return Table(f"{protocol}{top}", f"{caption}.{tail}", (*heads, "GT-captions"), tuple(rows))


def _at(of: Mapping[str, Any], protocol: str, measure: str, top: str) -> Any:
    scored = of[protocol][measure]
    return scored.get(top) if top else scored


def _cell(level: Mapping[str, Any], marks: str = "", best: bool = False) -> Cell:
    return Cell(level["mean"], level["std"], level["low"], level["high"], marks, best)


def _marks(
    tests: Sequence[Mapping[str, Any]], word: str, measure: str, protocol: str, method: str, best: str | None
) -> str:
    marks = ""
    for t in tests:
        if (t["word"], t["measure"], t["protocol"]) != (word, measure, protocol):
            continue
        pair = {t["first"], t["second"]}
        if pair == {method, "random words"} and t["real"]:
            marks += "*"
        elif best is not None and pair == {method, best} and method != best and not t["real"]:
            marks += "≈"
    return marks


def _dictionary(evaluations: Mapping[str, Mapping[str, Any]]) -> Table:
    """Every dictionary score, and its control in the last column (the main method's)."""
    methods = list(next(iter(evaluations.values())))
    rows = []
    for word, by_method in evaluations.items():
        for name in next(iter(by_method.values()))["dictionary"]:
            values = [by_method[m]["dictionary"][name]["value"] for m in methods]
            cells = [Cell(v["mean"], None, v["low"], v["high"]) for v in values]
            control = by_method[methods[-1]]["dictionary"][name]
            rows.append(((word, name), (*cells, Cell(control["control"]))))
    heads = (
        "word",
        "score",
        *(TITLES.get(m, m) for m in methods),
        f"by chance ({TITLES.get(methods[-1], methods[-1])})",
    )
    return Table("dictionary", "Dictionaries. Overlap and pairwise cosine: lower is better.", heads, tuple(rows))


def _truth(evaluations: Mapping[str, Mapping[str, Any]]) -> Table:
    methods = list(next(iter(evaluations.values())))
    rows = []
    for word, by_method in evaluations.items():
        truths = {m: by_method[m]["truth"] for m in methods}
        known = next((t for t in truths.values() if t), None)
        for factor in known["best"] if known else ():
            found = {m: (t or {}).get("best", {}).get(factor) for m, t in truths.items()}
            best = max((m for m in found if found[m] is not None), key=lambda m: found[m], default=None)
            cells = []
            for m in methods:
                t = truths[m] or {}
                held = t.get("held_out", {}).get(factor, {})
                cells += [Cell(found[m], best=m == best), _range(held)]
            chance = (truths[methods[-1]] or {}).get("by_chance", {}).get(factor, {})
            rows.append(((word, factor), (*cells, _range(chance))))
    heads = [h for m in methods for h in (TITLES.get(m, m), "held out")]
    caption = (
        "The truth: mean over a factor's values of the best AUROC among the concepts, and of those concepts on "
        "held-out images."
    )
    return Table("truth", caption, ("word", "factor", *heads, "labels permuted"), tuple(rows))


def _recovery(evaluations: Mapping[str, Mapping[str, Any]]) -> Table:
    """How well the factors are recovered, each figure beside what chance gives."""
    methods = list(next(iter(evaluations.values())))
    rows = []
    for word, by_method in evaluations.items():
        cells: dict[str, list[Cell]] = {
            name: [] for name in ("disentanglement", "completeness", "informativeness", "purity")
        }
        for m in methods:
            truth = by_method[m]["truth"] or {}
            recovery = truth.get("recovery") or {}
            told, common = (list((recovery.get(n) or {}).values()) for n in ("informativeness", "majority"))
            pure = [c["purity"] for c in truth.get("concepts", ())]
            by_chance = [c["purity_by_chance"] for c in truth.get("concepts", ())]
            cells["disentanglement"] += [Cell(recovery.get("disentanglement")), Cell(None)]
            cells["completeness"] += [Cell(recovery.get("completeness")), Cell(None)]
            cells["informativeness"] += [Cell(_mean(told)), Cell(_mean(common))]
            cells["purity"] += [Cell(_mean(pure)), Cell(_mean(by_chance))]
        rows += [((word, name), tuple(of)) for name, of in cells.items()]
    heads = [h for m in methods for h in (TITLES.get(m, m), "by chance")]
    caption = (
        "Recovery of the factors. Informativeness: accuracy on held-out images, mean over factors, beside the most "
        "common value; purity of most activating images, beside how common the value is."
    )
    return Table("recovery", caption, ("word", "score", *heads), tuple(rows))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _range(level: Mapping[str, Any]) -> Cell:
    return Cell(level.get("mean"), None, level.get("low"), level.get("high"))
