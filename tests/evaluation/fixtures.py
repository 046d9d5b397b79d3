"""Held-out samples, their factors, and one evaluation and one comparison of methods. Read only."""

from __future__ import annotations

import pytest
from tests.evaluation.fakes import Counting

from vitrail.activations import ExtractionOptions
from vitrail.evaluation import (
    EvaluationData,
    EvaluationFolders,
    EvaluationOptions,
    MethodOptions,
    score_study,
)
from vitrail.runs.compare_methods import compare_methods
from vitrail.samples import load_samples
from vitrail.studies import Study


@pytest.fixture(scope="session")
def held_out(world):
    """Samples that nothing was learned from: about 8 dogs."""
    return load_samples(world, split="val") + load_samples(world, split="test")


@pytest.fixture(scope="session")
def factors(world):
    from vitrail.toyland.ground_truth import load_factors

    return load_factors(world)


@pytest.fixture(scope="session")
def dog_study(activations, concepts, grounding) -> Study:
    """The study of the session's dogs."""
    return Study(activations.folder.parent, activations, concepts, grounding)


@pytest.fixture(scope="session")
def data(dogs, held_out, factors) -> EvaluationData:
    """What the dogs are evaluated with."""
    return EvaluationData(dogs, held_out, factors)


@pytest.fixture(scope="session")
def evaluation(dog_study, lmm, data, tmp_path_factory):
    """An evaluation with scorers that take no time."""
    folders = EvaluationFolders.beside(tmp_path_factory.mktemp("evaluation") / "evaluation")
    return score_study(dog_study, lmm, data, Counting().scorers, folders, EvaluationOptions(n_random=30))


@pytest.fixture(scope="session")
def side_by_side(lmm, samples, held_out, factors, tmp_path_factory):
    """Two methods on dogs, with curves."""
    options = MethodOptions(
        ("kmeans", "semi-nmf"),
        layers=(4, -1),
        n_concepts=(6, 4),
        extraction=ExtractionOptions(require="truth"),
        evaluation=EvaluationOptions(noise=False, n_random=20),
    )
    data, out = EvaluationData(samples, held_out, factors), tmp_path_factory.mktemp("comparison")
    return compare_methods(lmm, data, ["dog"], scorers=Counting().scorers, out=out, options=options)
