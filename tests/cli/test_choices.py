"""Groups of options: they offer what the library takes, with its defaults, and give what was chosen."""

from __future__ import annotations

from typing import get_args

import pytest

from vitrail.cli import choices
from vitrail.cli.choices import DataChoice, DataSource, StudyModel, WordChoice
from vitrail.errors import UsageError
from vitrail.progress import silent
from vitrail.words import Word


def test_the_values_on_offer_are_those_that_the_library_takes():
    from vitrail import activations, lmm, words
    from vitrail.comparison import matching, shift_vectors
    from vitrail.concepts import learning
    from vitrail.finetuning import options as finetuning
    from vitrail.lmm import positions
    from vitrail.steering import options as steering_options

    pairs = [
        (choices.Alignment, words.Alignment),
        (choices.Require, activations.Require),
        (choices.Engine, learning.Engine),
        (choices.DType, lmm.DType),
        (choices.Matching, matching.Matching),
        (choices.ShiftEstimator, shift_vectors.ShiftEstimator),
        (choices.TuningMethod, finetuning.Method),
        (choices.PositionName, positions.Name),
        (choices.AnswerShift, steering_options.Targets),
    ]
    for offered, taken in pairs:
        assert set(get_args(offered)) == set(get_args(taken))


def test_the_defaults_are_those_of_the_library():
    from vitrail.activations import ExtractionOptions
    from vitrail.cli.compare import ComparisonChoice
    from vitrail.comparison import ComparisonOptions
    from vitrail.concepts import LearningOptions
    from vitrail.grounding import GroundingOptions
    from vitrail.sweep import SweepOptions

    assert choices.ExtractionChoice().options((-1,)) == ExtractionOptions()
    assert choices.LearningChoice().options() == LearningOptions()
    assert choices.StableLearningChoice().options() == LearningOptions()
    assert choices.GroundingChoice().options() == GroundingOptions()
    assert choices.SweepChoice().options(choices.LearningChoice(), None) == SweepOptions()
    assert ComparisonChoice().options(StudyModel()) == ComparisonOptions()


def test_options_reach_the_library_under_its_own_names():
    learning = choices.StableLearningChoice(
        concepts=7, method="pca", penalty=0.5, seed=3, stability=2, consensus=True
    ).options(4)
    assert (learning.layer, learning.n_concepts, learning.method, learning.penalty) == (4, 7, "pca", 0.5)
    assert (learning.seed, learning.stability, learning.consensus) == (3, 2, True)
    extraction = choices.ExtractionChoice(alignment="reads", require="truth", max_new_tokens=9, batch_size=2)
    options = extraction.options((3, "final"))
    assert (options.layers, options.alignment, options.require) == ((3, "final"), "reads", "truth")
    assert (options.max_new_tokens, options.batch_size, options.prompt) == (9, 2, None)
    grounding = choices.GroundingChoice(words=3, images_per_concept=2, language="de").options(own_word=True)
    assert (grounding.n_words, grounding.n_samples, grounding.own_word, grounding.language) == (3, 2, True, "de")


def test_a_word_has_the_forms_between_the_commas():
    assert WordChoice(word="dog", forms=" dogs, puppy,", match_case=True).as_word() == Word(
        "dog", ("dogs", "puppy"), True
    )


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
