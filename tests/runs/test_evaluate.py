"""`vitrail.evaluate` does all that the command does: scores, tables, and the report of the study."""

from __future__ import annotations

import shutil

import pytest
from tests.evaluation.fakes import Counting

from vitrail.activations import ExtractionOptions
from vitrail.errors import ArtifactError
from vitrail.evaluation import (
    EvaluationOptions,
)
from vitrail.runs.evaluate import evaluate
from vitrail.runs.report import report
from vitrail.runs.study import study
from vitrail.studies import Study, open_study


def test_a_report_is_the_same_whichever_command_writes_it(lmm, dogs, data, factors, saying, tmp_path, caplog):
    saying("a brown dog on the grass")
    folder = tmp_path / "dog"

    def made(n_concepts: int = 3) -> Study:
        options = {"layer": 1, "method": "kmeans", "n_concepts": n_concepts, "factors": factors}
        return study(lmm, dogs, "dog", out=folder, extraction=ExtractionOptions(require="truth"), **options)

    first = made()
    assert 'id="evaluation"' not in (folder / "report.html").read_text()
    found = evaluate(first, lmm, data, scorers=Counting().scorers, options=EvaluationOptions(noise=False, n_random=5))
    page = (folder / "report.html").read_text()
    assert 'id="evaluation"' in page
    assert 'id="truth"' in page
    assert found.folder == folder / "evaluation"
    assert "random words" in (folder / "evaluation" / "evaluation.md").read_text()
    made()  # a finished study, run again
    assert (folder / "report.html").read_text() == page
    opened = open_study(folder)
    assert opened.factors == {i: factors[i] for i in opened.activations.sample_ids()}
    assert report(opened, out=tmp_path / "page.html").read_text() == page
    for stage in ("concepts", "grounding"):
        shutil.rmtree(folder / stage)
    made(2)
    assert 'id="evaluation"' not in (folder / "report.html").read_text()
    assert "evaluation was not made from" in caplog.text


def test_an_evaluation_may_lie_elsewhere(lmm, dog_study, data, tmp_path):
    for artifact in (dog_study.activations, dog_study.concepts, dog_study.grounding):
        shutil.copytree(artifact.folder, tmp_path / "study" / artifact.folder.name)
    opened = open_study(tmp_path / "study")
    options = EvaluationOptions(noise=False, n_random=5)
    out = tmp_path / "elsewhere" / "scores"
    found = evaluate(opened, lmm, data, scorers=Counting().scorers, options=options, out=out)
    assert found.folder == out
    assert (out / "evaluation.md").is_file()
    assert {p.name for p in out.parent.iterdir()} == {"scores", "test", "embeddings"}
    assert 'id="evaluation"' not in (tmp_path / "study" / "report.html").read_text()


def test_factors_that_are_damaged_are_named(tmp_path, activations, concepts, grounding):
    for artifact in (activations, concepts, grounding):
        shutil.copytree(artifact.folder, tmp_path / artifact.folder.name)
    assert open_study(tmp_path).factors is None
    (tmp_path / "factors.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"factors.json was not written by Vitrail"):
        open_study(tmp_path)
