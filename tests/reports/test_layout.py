"""Tables in Markdown and LaTeX, and how numbers are written."""

from __future__ import annotations

from vitrail.reports.layout import Cell, Table, latex, markdown, number, p_value


def test_tables_in_markdown_and_latex():
    cells = (Cell(0.6104, 0.09, 0.6, 0.62, "*", best=True), Cell(None), Cell(-0.25))
    table = Table("t", "50 % of a_b & c.", ("word", "", "A", "B", "C"), ((("dog", "CS"), cells),))
    assert markdown(table).splitlines() == [
        "| word |  | A | B | C |",
        "|---|---|---|---|---|",
        "| dog | CS | **.610** ± .090 [.600, .620] \\* | – | -.250 |",
        "",
        "50 % of a_b & c.",
    ]
    text = latex(table)
    assert r"dog & CS & \textbf{.610} $\pm$ .090 [.600, .620]$^{*}$ & -- & -.250 \\" in text
    assert r"\caption{50 \% of a\_b \& c.}" in text


def test_words_that_mean_something_to_a_table_are_written_as_they_are():
    table = Table("t", "A caption.", ("word", "", "A"), (((r"a|b\c{d}^", "CS"), (Cell(0.5),)),))
    assert r"| a\|b\c{d}^ | CS | .500 |" in markdown(table)
    assert r"a|b\textbackslash{}c\{d\}\textasciicircum{} & CS & .500 \\" in latex(table)


def test_numbers_have_three_digits_and_one_way_to_be_written():
    values = (0.6104, 0.99968, 1.0, -0.0001, 0.0, -0.25, 20.004, None, float("nan"))
    assert [number(v) for v in values] == [".610", "1.00", "1.00", ".000", ".000", "-.250", "20.00", "–", "–"]


def test_small_p_are_not_written_as_zero():
    assert [p_value(p) for p in (0.0005, 0.013, 1.0, None, float("nan"))] == ["< .001", "= .013", "= 1.00", "–", "–"]
