"""Tables, and how they are written in Markdown and LaTeX."""

from __future__ import annotations

from dataclasses import dataclass

from vitrail.scores import Estimate, Verdict
from vitrail.scores.verdicts import MARKS, MEANINGS, missing, number


@dataclass(frozen=True)
class Cell:
    """A number, its standard deviation and its 95 % interval, None or NaN where there is none.

    Args:
        note: stands beside the number.
        best: whether it is the best of its row.
        verdicts: what follows from the number.
    """

    mean: float | None
    std: float | None = None
    low: float | None = None
    high: float | None = None
    note: str = ""
    best: bool = False
    verdicts: tuple[Verdict, ...] = ()

    @classmethod
    def of(cls, estimate: Estimate, *verdicts: Verdict, best: bool = False) -> Cell:
        """An estimate with its standard deviation and interval."""
        return cls(estimate.mean, estimate.std, estimate.low, estimate.high, "", best, verdicts)

    @classmethod
    def interval(cls, estimate: Estimate, *verdicts: Verdict) -> Cell:
        """An estimate with its interval alone."""
        return cls(estimate.mean, None, estimate.low, estimate.high, verdicts=verdicts)

    @property
    def spread(self) -> str:
        """Standard deviation and interval, as far as they are known: "± .09 [.60, .62]"."""
        parts = [] if missing(self.std) else [f"± {number(self.std)}"]
        parts += [] if missing(self.low) else [f"[{number(self.low)}, {number(self.high)}]"]
        return " ".join(parts)

    @property
    def marks(self) -> str:
        """The marks of its verdicts."""
        return " ".join(v.mark for v in self.verdicts)


#: A row: its labels, and its cells.
TableRow = tuple[tuple[str, ...], tuple[Cell, ...]]


@dataclass(frozen=True)
class Table:
    """A table: its title, what its numbers are, headings, and rows of labels and cells. It may have no rows."""

    name: str
    title: str
    explains: str
    heads: tuple[str, ...]
    rows: tuple[TableRow, ...]

    @property
    def n_labels(self) -> int:
        """How many columns are labels."""
        return len(self.rows[0][0]) if self.rows else 0

    @property
    def legend(self) -> str:
        """What the marks mean that occur in it; empty without any."""
        kinds = {v.kind for _, cells in self.rows for cell in cells for v in cell.verdicts}
        return ", ".join(f"{mark} {MEANINGS[kind]}" for kind, mark in MARKS.items() if kind in kinds)


def markdown(table: Table) -> str:
    """The table in Markdown: title, rows, what the numbers are, and below it what follows from each row, in words."""
    lines = [f"**{table.title}**", "", "| " + " | ".join(table.heads) + " |", "|" + "---|" * len(table.heads)]
    for labels, cells in table.rows:
        shown = [label.replace("|", "\\|") for label in labels]
        lines.append("| " + " | ".join([*shown, *map(_markdown_cell, cells)]) + " |")
    said = [(labels, [str(v) for cell in cells for v in cell.verdicts]) for labels, cells in table.rows]
    lines += ["", f"{table.explains} {table.legend}.".removesuffix(" ."), ""]
    return "\n".join(lines + [f"- {', '.join(labels)}: {'; '.join(words)}" for labels, words in said if words] + [""])


def _markdown_cell(cell: Cell) -> str:
    text = number(cell.mean)
    return " ".join(filter(None, [f"**{text}**" if cell.best else text, cell.spread, cell.note, cell.marks]))


_LATEX = {c: rf"\{c}" for c in "&%_#${}"} | {
    "±": r"$\pm$",
    "≥": r"$\geq$",
    "<": r"$<$",
    ">": r"$>$",
    "–": "--",
    "✓": r"$\checkmark$",  # of amssymb
    "✗": r"$\times$",
    "·": r"$\cdot$",
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def latex(table: Table) -> str:
    """The table in LaTeX, for `booktabs` and `amssymb`; rows with the same first label stand together."""
    lines: list[str] = []
    before = None
    for labels, cells in table.rows:
        lines += [r"\midrule"] if before not in (None, labels[0]) else []
        shown = ("" if labels[0] == before else labels[0], *labels[1:])
        before = labels[0]
        lines.append(" & ".join([*map(_tex, shown), *map(_latex_cell, cells)]) + r" \\")
    columns = "l" * table.n_labels + "c" * (len(table.heads) - table.n_labels)
    heads = " & ".join(map(_tex, table.heads))
    caption = _tex(f"{table.title}. {table.explains} {table.legend}".strip())
    return "\n".join(
        [
            rf"\begin{{table}}\centering\begin{{tabular}}{{{columns}}}",
            rf"\toprule {heads} \\ \midrule",
            *lines,
            r"\bottomrule\end{tabular}",
            rf"\caption{{{caption}}}\label{{tab:{table.name}}}\end{{table}}",
            "",
        ]
    )


def _latex_cell(cell: Cell) -> str:
    text = _tex(number(cell.mean))
    parts = [rf"\textbf{{{text}}}" if cell.best else text, *map(_tex, (cell.spread, cell.note, cell.marks))]
    return " ".join(filter(None, parts))


def _tex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text)
