"""The section on an evaluation of the page of a study."""

from __future__ import annotations

import dataclasses

import numpy as np

from vitrail import scores
from vitrail.evaluation.results import Contrast
from vitrail.reports import study_page
from vitrail.reports.evaluation import controls_chart
from vitrail.reports.tables import study_tables
from vitrail.scores.verdicts import number


def test_the_page_shows_an_evaluation(evaluation, dog_study, tmp_path):
    page = study_page(dog_study, out=tmp_path / "r.html", evaluation=evaluation.scores).read_text()
    assert 'id="evaluation"' in page
    assert number(evaluation.scores.images["bert"][1].score.mean) in page
    assert 'id="evaluation"' not in study_page(dog_study, out=tmp_path / "plain.html").read_text()


def test_a_score_without_a_number_is_a_dash_and_no_mark_of_the_chart(evaluation):
    nothing = scores.Estimate(np.nan, np.nan, np.nan, np.nan, 0)
    concepts = evaluation.scores.concepts
    against = concepts["clip"].against | {"captions": Contrast(nothing, nothing, np.nan)}
    changed = concepts | {"clip": dataclasses.replace(concepts["clip"], against=against)}
    found = dataclasses.replace(evaluation.scores, concepts=changed)
    assert controls_chart(evaluation.scores, "clip").count("human captions") == 4  # two marks, drawn and said
    chart = controls_chart(found, "clip")
    assert chart.count("human captions") == 2
    assert "nan" not in chart
    row = next(cells for labels, cells in study_tables(found)[0].rows if labels == ("CLIPScore", "concepts"))
    assert (number(row[-1].mean), row[-1].spread) == ("–", "")
    assert [str(v) for v in row[-1].verdicts] == ["? not tested against human captions"]
