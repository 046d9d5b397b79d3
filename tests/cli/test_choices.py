"""Groups of options give what was chosen: samples, a model, and the options of the library."""

from __future__ import annotations

import pytest

from vitrail.cli.choices import DataChoice, DataSource, StudyModel
from vitrail.errors import UsageError
from vitrail.progress import silent


def test_samples_are_chosen_by_word_and_by_id(captions, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("2\n0\n")

    def chosen(**options) -> list[str]:
        return [s.id for s in DataChoice(data=str(captions), **options).load(silent)]

    assert chosen(having="dog,dogs") == ["0", "1"]
    assert chosen(ids=ids) == ["0", "2"]
    assert chosen(ids=ids, having="colour") == ["0", "2"]
    with pytest.raises(UsageError, match=r"There is no file .*none\.txt"):
        chosen(ids=tmp_path / "none.txt")


def test_facts_are_those_beside_the_data(captions, world):
    assert DataSource(data=str(captions)).facts().factors is None
    assert len(DataSource(data=str(world)).facts().factors) == 400


def test_a_studys_model_is_loaded_as_it_was_and_keeps_its_name(activations):
    from vitrail import toyland

    lmm = StudyModel(model=str(toyland.model_path()), device="cpu").load(activations)
    assert lmm.describe() == activations.model
    assert lmm.prompt == activations.options.prompt


def test_a_learner_that_is_not_there_is_refused_with_those_that_are(run, tmp_path):
    from vitrail.learners import LEARNERS

    code, _, err = run("learn", tmp_path, "--method", "nmf")
    assert code == 2
    assert all(name in err for name in LEARNERS)


def test_a_learner_that_is_added_is_on_offer(run, tmp_path, monkeypatch):
    from vitrail.learners import LEARNERS, PCA

    monkeypatch.setitem(LEARNERS, "own", PCA)
    code, _, err = run("learn", tmp_path, "--method", "own")
    assert code == 1
    assert "activations" in err
    assert "own" in run("learn", "--help")[1]
