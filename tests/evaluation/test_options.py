"""Options that cannot be are refused at once."""

from __future__ import annotations

import pytest

from vitrail import learners
from vitrail.concepts import LearningOptions
from vitrail.errors import UsageError
from vitrail.evaluation import (
    EvaluationOptions,
    MethodOptions,
)


@pytest.mark.parametrize(("options", "least"), [({"n_random": 0}, 1), ({"n_ablated": -1}, 0)])
def test_numbers_that_cannot_be_are_refused(options, least):
    with pytest.raises(UsageError, match=f"{next(iter(options))} must be at least {least}"):
        EvaluationOptions(**options)


def test_an_unknown_way_to_take_captions_together_is_refused():
    with pytest.raises(UsageError, match="'mean' or 'best'"):
        EvaluationOptions(over_captions="median")


def test_unknown_methods_are_refused():
    with pytest.raises(UsageError, match=r"methods among .*semi-nmf.*got .*'magic'"):
        MethodOptions(("magic",))
    with pytest.raises(UsageError, match="numbers of concepts"):
        MethodOptions(n_concepts=())


def test_all_learners_are_compared_by_default_and_that_of_learn_is_the_main_one():
    assert set(MethodOptions().methods) == set(learners.LEARNERS)
    assert MethodOptions().main == LearningOptions().method
    assert MethodOptions(("semi-nmf", "pca")).main == "semi-nmf"
    assert MethodOptions(("pca", "kmeans")).main == "kmeans"
