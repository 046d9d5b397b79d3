"""What several tests of steering need: questions, and vectors from yes to no."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def asked(world):
    """Questions of `world`, with answers."""
    from vitrail.samples import load_samples

    return load_samples(world / "v2_OpenEnded_mscoco_train2014_questions.json", limit=120)


@pytest.fixture(scope="session")
def vector(lmm, asked, tmp_path_factory):
    """The mean vectors yes → no of layers 6 and 8. Not to be written to."""
    from vitrail.steering import TASKS, SteeringOptions, make_vectors

    out = tmp_path_factory.mktemp("steer") / "mean"
    return make_vectors(lmm, TASKS["yes-no"].contrast(asked), SteeringOptions(layers=(6, -1)), out=out)
