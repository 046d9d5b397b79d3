"""A study is a sequence of its concepts, remembers its model, and explains images with it."""

from __future__ import annotations

import sys
from unittest import mock

import numpy as np
import pytest

from vitrail.errors import UsageError
from vitrail.explanation import explain
from vitrail.studies import Study


@pytest.fixture(scope="module")
def study(activations, concepts, grounding) -> Study:
    return Study(activations.folder.parent, activations, concepts, grounding)


def test_a_study_is_a_sequence_of_its_grounded_concepts(study):
    assert len(study) == len(study.concepts) == 6
    assert list(study) == [study[k] for k in range(6)] == list(study.grounding.concepts)
    assert study[2].words == study.concepts[2].words == study.grounding[2].words
    assert list(study.concepts) == list(study)
    assert (study.concepts.V == study.learned.V).all()


def test_a_study_explains_an_image_with_the_model_that_it_remembers(study, lmm, dogs, saying):
    saying("a brown dog")
    assert study.lmm.describe() == lmm.describe()
    found = study.explain(dogs[0].image, n_concepts=2, n_look_alikes=1)
    expected = explain(lmm, study.activations, study.concepts, study.grounding, dogs[0].image)
    assert found.concepts == expected.concepts[:2]
    assert found.look_alikes == expected.look_alikes[:1]
    assert study.explain(dogs[0].image, lmm=lmm) == expected


def test_a_study_as_a_table_has_a_row_per_concept(study):
    table = study.to_pandas()
    assert table.index.tolist() == list(range(6))
    assert table["title"].tolist() == [" · ".join(c.title) for c in study]
    np.testing.assert_allclose(table["share"], [c.share for c in study])
    assert {"words", "captions", "samples", "stability_seeds", "stability_resamples"} <= {*table.columns}


def test_a_table_without_pandas_is_an_error_that_says_what_to_install(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match=r"pip install .vitrail\[pandas\]"):
        study.to_pandas()


def test_a_study_shows_itself_and_nothing_hostile(study):
    title = " · ".join(study[0].title)
    assert f"<td>{title}</td>" in study._repr_html_()
    assert study._repr_html_().count("data:image/jpeg;base64,") == sum(len(c.samples) for c in study)
    assert title in study.concepts._repr_html_()
    evil = mock.MagicMock(rows=study.activations.rows, model=study.activations.model)
    evil.word.text = "<script>"
    hostile = Study(study.folder / "<script>", evil, study.learned, study.grounding)
    assert "<script>" not in hostile._repr_html_()
