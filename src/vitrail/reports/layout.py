"""Tables and how they are written: Markdown and LaTeX."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """A figure, its deviation and its 95 % interval; `marks` say which differences are real, `best` that none of its
    row is better."""

    mean: float | None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    marks: str = ""
    best: bool = False

    @property
    def spread(self) -> str:
        """Deviation and interval, where there are such: "± .09 [.60, .62]"."""
        parts = [f"± {number(self.std)}"] if self.std is not None else []
        parts += [f"[{number(self.low)}, {number(self.high)}]"] if self.low is not None else []
        return " ".join(parts)


@dataclass(frozen=True)
class Table:
    """A table: a caption, headings, and rows of labels and cells."""

    name: str
    caption: str
    heads: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[Cell, ...]], ...]


def number(value: float | None) -> str:
    """Three digits, without the zero before the point: ".610", "1.02"."""
    if value is None:
        return "–"
    value = round(value, 3) + 0.0  # no "1.000" beside "1.00", and no "-.000"
    text = f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def p_value(p: float | None) -> str:
    """A p-value after its letter: "= .013", or "< .001"."""
    if p is None:
        return "–"
    return "< .001" if p < 0.001 else f"= {number(p)}"


def markdown(table: Table) -> str:
    """The table in Markdown, its caption below."""
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
    "±": r"$\pm$", "≈": r"$\approx$", "≥": r"$\geq$", "<": r"$<$", ">": r"$>$", "–": "--",
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


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
