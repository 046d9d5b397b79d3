"""`vitrail.compare_methods` does all that the command does: scores, tables and the page."""

from __future__ import annotations


def test_a_comparison_is_written_as_values_tables_and_a_page(side_by_side):
    files = {"comparison.json", "comparison.md", "comparison.tex", "report.html"}
    assert files <= {p.name for p in side_by_side.folder.iterdir()}
    assert "| dog | CLIPScore |" in (side_by_side.folder / "comparison.md").read_text()
    assert r"\toprule" in (side_by_side.folder / "comparison.tex").read_text()
    assert "Semi-NMF" in (side_by_side.folder / "report.html").read_text()
