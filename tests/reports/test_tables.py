"""Tables of evaluations and comparisons."""

from __future__ import annotations

import dataclasses

import pytest

from vitrail.reports.tables import all_tables, study_tables


def test_tables_of_a_comparison_have_the_papers_columns(side_by_side):
    made = {t.name: t for t in all_tables(side_by_side)}
    assert list(made) == ["images1", "images3", "concepts", "dictionary", "truth", "recovery"]
    assert made["images1"].heads == ("word", "", "Rnd-Words", "k-means", "Semi-NMF", "GT-captions")
    assert [labels for labels, _ in made["images1"].rows] == [("dog", "CS"), ("dog", "BS")]
    assert "held out" in made["truth"].heads
    best = [c for c in made["images1"].rows[0][1] if c.best]
    assert len(best) == 1


@pytest.mark.parametrize("real", [True, False])
def test_marks_say_which_differences_are_real(side_by_side, real):
    tests = tuple(dataclasses.replace(t, real=real) for t in side_by_side.tests)
    table = {t.name: t for t in all_tables(dataclasses.replace(side_by_side, tests=tests))}["images1"]
    for _, (_, *methods, _) in table.rows:
        assert [("*" in cell.marks) for cell in methods] == [real, real]
        assert ["≈" in cell.marks for cell in methods] == [not real and not cell.best for cell in methods]


def test_a_method_that_is_not_known_keeps_its_name(side_by_side):
    (by_method,) = side_by_side.evaluations.values()
    renamed = {"magic": by_method["kmeans"], "semi-nmf": by_method["semi-nmf"]}
    changed = dataclasses.replace(side_by_side, evaluations={"dog": renamed}, tests=())
    assert all_tables(changed)[0].heads[-3:] == ("magic", "Semi-NMF", "GT-captions")


def test_tables_of_a_study_show_every_control(evaluation):
    scores = evaluation.scores
    table, dictionary, truth, recovery = study_tables(scores)
    assert [labels[1] for labels, _ in dictionary.rows] == list(scores.dictionary)
    assert {labels[1]: cells[0].mean for labels, cells in truth.rows} == scores.truth.best
    informativeness = scores.truth.recovery.informativeness
    assert [cells[0].mean for _, cells in recovery.rows[2:]] == list(informativeness.values())
    assert len(table.rows) == 2 * (1 + 3)
    assert {"Rnd-Words", "as frequent words", "shuffled", "Noise-Imgs", "GT-captions"} <= set(table.heads)


def test_without_known_factors_there_are_no_tables_of_them(evaluation):
    found = study_tables(dataclasses.replace(evaluation.scores, truth=None))
    assert [t.name for t in found] == ["scores", "dictionary"]
