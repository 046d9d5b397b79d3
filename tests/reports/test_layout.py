"""Tables in Markdown and LaTeX."""

from __future__ import annotations

import pytest

from vitrail.reports.layout import Cell, Table, latex, markdown
from vitrail.scores import Verdict
from vitrail.scores.verdicts import number, p_value, percent

BETTER, WORSE = Verdict("good", "better than chance (p = .013)"), Verdict("bad", "worse than noise")


def test_tables_in_markdown_and_latex_show_marks_and_say_what_follows():
    cells = (Cell(0.6104, 0.09, 0.6, 0.62, best=True, verdicts=(BETTER, WORSE)), Cell(None, note="of a_b"), Cell(-0.25))
    table = Table("t", "A title", "50 % of a_b & c.", ("word", "measure", "A", "B", "C"), ((("dog", "BLEU"), cells),))
    assert markdown(table).splitlines() == [
        "**A title**",
        "",
        "| word | measure | A | B | C |",
        "|---|---|---|---|---|",
        "| dog | BLEU | **.610** ± .090 [.600, .620] ✓ ✗ | – of a_b | -.250 |",
        "",
        "50 % of a_b & c. ✓ supports what it is taken for, ✗ speaks against it.",
        "",
        "- dog, BLEU: ✓ better than chance (p = .013); ✗ worse than noise",
    ]
    text = latex(table)
    assert r"dog & BLEU & \textbf{.610} $\pm$ .090 [.600, .620] $\checkmark$ $\times$ & -- of a\_b & -.250 \\" in text
    assert r"\caption{A title. 50 \% of a\_b \& c. $\checkmark$ supports" in text
    assert r"\begin{tabular}{llccc}" in text


def test_words_that_mean_something_to_a_table_are_written_as_they_are():
    table = Table("t", "A title", "It is.", ("word", "", "A"), (((r"a|b\c{d}^", "CS"), (Cell(0.5),)),))
    assert r"| a\|b\c{d}^ | CS | .500 |" in markdown(table)
    assert r"a|b\textbackslash{}c\{d\}\textasciicircum{} & CS & .500 \\" in latex(table)


def test_a_table_without_verdicts_has_no_legend():
    table = Table("t", "A title", "It is.", ("word", "A"), ((("dog",), (Cell(0.5),)),))
    assert markdown(table).rstrip().endswith("\n\nIt is.")


def test_numbers_have_one_way_to_be_written():
    values = (0.6104, 0.99968, 1.0, -0.0001, 0.0, -0.25, 20.004, None, float("nan"))
    assert [number(v) for v in values] == [".610", "1.00", "1.00", ".000", ".000", "-.250", "20.00", "–", "–"]
    assert [number(v, 2) for v in (0.974, 1.0, 0.005)] == [".97", "1.00", ".01"]
    assert [percent(v) for v in (0.1234, 0.0123, 0.0, 1.0, float("nan"))] == ["12 %", "1.2 %", "0 %", "100 %", "–"]


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.00005, "< .0001"), (0.0005, "= .0005"), (0.00096, "= .001"), (0.013, "= .013"), (1.0, "= 1.00"), (None, "–")],
)
def test_small_p_are_not_written_as_zero(p, text):
    assert p_value(p) == text
