"""Tables, and how they are written in Markdown and LaTeX."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vitrail.scores import Estimate


@dataclass(frozen=True)
class Cell:
    """A number, its standard deviation and its 95 % interval, None or NaN where there is none.

    `marks` stand beside it and say which differences are real; `best` marks the best method of the row.
    """

    mean: float | None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    marks: str = ""
    best: bool = False

    @classmethod
    def of(cls, estimate: Estimate, marks: str = "", best: bool = False) -> Cell:
        """An estimate with its standard deviation and interval."""
        return cls(estimate.mean, estimate.std, estimate.low, estimate.high, marks, best)

    @classmethod
    def interval(cls, estimate: Estimate) -> Cell:
        """An estimate with its interval alone."""
        return cls(estimate.mean, None, estimate.low, estimate.high)

    @property
    def spread(self) -> str:
        """Standard deviation and interval, as far as they are known: "± .09 [.60, .62]"."""
        parts = [] if missing(self.std) else [f"± {number(self.std)}"]
        parts += [] if missing(self.low) else [f"[{number(self.low)}, {number(self.high)}]"]
        return " ".join(parts)


@dataclass(frozen=True)
class Table:
    """A table: a caption, headings, and rows of labels and cells."""

    name: str
    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[Cell, ...]], ...]


def missing(value: float | None) -> bool:
    """Whether there is no number: None or NaN."""
    return value is None or math.isnan(value)


def number(value: float | None) -> str:
    """Three digits, without the zero before the point: ".610", "1.02"; a dash where there is no number."""
    if value is None or math.isnan(value):
        return "–"
    value = round(value, 3) + 0.0  # no "1.000" beside "1.00", and no "-.000"
    text = f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def p_value(p: float | None) -> str:
    """A p-value as it stands after its letter: "= .013" or "< .001"; a dash where there is none."""
    if p is None or math.isnan(p):
        return "–"
    return "< .001" if p < 0.001 else f"= {number(p)}"


def markdown(table: Table) -> str:
    """The table in Markdown, with its caption below."""
    lines = ["| " + " | ".join(table.heads) + " |", "|" + "---|" * len(table.heads)]
    for labels, cells in table.rows:
        shown = [label.replace("|", "\\|") for label in labels]
        lines.append("| " + " | ".join([*shown, *map(_markdown_cell, cells)]) + " |")
    return "\n".join([*lines, "", table.caption, ""])


def _markdown_cell(cell: Cell) -> str:
    text = number(cell.mean)
    parts = [f"**{text}**" if cell.best else text, cell.spread, cell.marks.replace("*", "\\*")]
    return " ".join(part for part in parts if part)


_LATEX = {c: rf"\{c}" for c in "&%_#${}"} | {
    "±": r"$\pm$",
    "≈": r"$\approx$",
    "≥": r"$\geq$",
    "<": r"$<$",
    ">": r"$>$",
    "–": "--",
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def latex(table: Table) -> str:
    """The table in LaTeX, for `booktabs`."""
    columns = "ll" + "c" * (len(table.heads) - 2)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(map(_tex, table.heads)) + r" \\",
        r"\midrule",
    ]
    before = None
    for labels, cells in table.rows:
        if before is not None and labels[0] != before:
            lines.append(r"\midrule")
        shown = ("" if labels[0] == before else labels[0], *labels[1:])
        before = labels[0]
        lines.append(" & ".join([*map(_tex, shown), *map(_latex_cell, cells)]) + r" \\")
    return "\n".join(
        [
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            rf"\caption{{{_tex(table.caption)}}}",
            rf"\label{{tab:{table.name}}}",
            r"\end{table}",
            "",
        ]
    )


def _latex_cell(cell: Cell) -> str:
    text = _tex(number(cell.mean))
    parts = [rf"\textbf{{{text}}}" if cell.best else text, _tex(cell.spread), _tex(cell.marks.replace("*", ""))]
    return " ".join(part for part in parts if part) + ("$^{*}$" if "*" in cell.marks else "")


def _tex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
