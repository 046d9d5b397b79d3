"""Tables of evaluations and comparisons."""

from __future__ import annotations

import dataclasses

import pytest

from vitrail.evaluation.results import CONTROLS, RANDOM_WORDS
from vitrail.reports.tables import all_tables, study_tables


def test_tables_of_a_comparison_have_the_papers_columns(side_by_side):
    made = {t.name: t for t in all_tables(side_by_side)}
    assert list(made) == ["images1", "images3", "concepts", "dictionary", "truth", "recovery"]
    assert made["images1"].heads == ("word", "measure", "random words", "k-means", "Semi-NMF", "human captions")
    assert [labels for labels, _ in made["images1"].rows] == [("dog", "CLIPScore"), ("dog", "BERTScore")]
    assert made["truth"].heads[2:] == (
        "the states",
        *("k-means: dictionary", "best concept"),
        *("Semi-NMF: dictionary", "best concept"),
    )
    best = [c for c in made["images1"].rows[0][1] if c.best]
    assert len(best) == 1


@pytest.mark.parametrize(("q", "mark", "against_best"), [(0.001, "✓", "worse than"), (0.3, "?", "not told apart from")])
def test_a_method_is_held_against_random_words_and_against_the_best_of_the_row(side_by_side, q, mark, against_best):
    def tested(test):
        gain = dataclasses.replace(
            test.gain, mean=abs(test.gain.mean) if test.second == RANDOM_WORDS else test.gain.mean
        )
        return dataclasses.replace(test, q=q, gain=gain)

    tests = tuple(map(tested, side_by_side.tests))
    table = {t.name: t for t in all_tables(dataclasses.replace(side_by_side, tests=tests))}["images1"]
    for _, (_, *methods, _) in table.rows:
        assert [cell.verdicts[0].mark for cell in methods] == [mark, mark]
        assert all("random words" in cell.verdicts[0].text for cell in methods)
        (other,) = [cell for cell in methods if not cell.best]
        assert against_best in other.verdicts[-1].text


def test_a_method_that_is_not_known_keeps_its_name(side_by_side):
    (by_method,) = side_by_side.evaluations.values()
    renamed = {"magic": by_method["kmeans"], "semi-nmf": by_method["semi-nmf"]}
    changed = dataclasses.replace(side_by_side, evaluations={"dog": renamed}, tests=())
    assert all_tables(changed)[0].heads[-3:] == ("magic", "Semi-NMF", "human captions")


def test_tables_of_a_study_show_every_control(evaluation):
    scores = evaluation.scores
    table, dictionary, truth, recovery = study_tables(scores)
    assert [labels[0] for labels, _ in dictionary.rows] == list(scores.dictionary)
    assert [cells[2].mean for labels, cells in truth.rows if labels[0] in scores.truth.by_factor] == [
        told.concept.mean
        for factor, of_all in scores.truth.by_factor.items()
        for told in (of_all, *(v.told for v in scores.truth.values if v.factor == factor))
    ]
    assert f"{scores.truth.n_new} samples (held-out samples)" in truth.explains
    informativeness = scores.truth.recovery.informativeness
    assert [cells[0].mean for _, cells in recovery.rows[2:]] == list(informativeness.values())
    assert len(table.rows) == 2 * (1 + 3)
    assert set(CONTROLS.values()) <= set(table.heads)


def test_a_control_that_was_not_made_has_no_column(evaluation):
    def without(scored):
        against = {name: contrast for name, contrast in scored.against.items() if name != "noise"}
        return dataclasses.replace(scored, against=against)

    scores = evaluation.scores
    concepts = {m: without(s) for m, s in scores.concepts.items()}
    images = {m: {top: without(s) for top, s in by_top.items()} for m, by_top in scores.images.items()}
    table, *_ = study_tables(dataclasses.replace(scores, concepts=concepts, images=images))
    assert "noise images" not in table.heads
    assert {len(labels) + len(cells) for labels, cells in table.rows} == {len(table.heads)}


def test_without_known_factors_there_are_no_tables_of_them(evaluation):
    found = study_tables(dataclasses.replace(evaluation.scores, truth=None))
    assert [t.name for t in found] == ["scores", "dictionary"]
