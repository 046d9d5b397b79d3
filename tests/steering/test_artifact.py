"""A steering on disk."""

from __future__ import annotations

import pytest
import torch
from tests.resealing import reseal

from vitrail.errors import ArtifactError
from vitrail.steering import (
    TASKS,
    SteeringOptions,
    example_states,
    make_vectors,
    open_steering,
    steer,
)
from vitrail.steering.artifact import FILE

YES_NO = TASKS["yes-no"]


def test_the_norms_are_in_units_of_the_layers_median_norm(lmm, asked, vector):
    off = example_states(lmm, YES_NO.away(asked), [6], positions="last")
    median = off.by_layer[6].norm(dim=1).median()  # one position each: its state
    assert vector.norms[6] == pytest.approx(float(vector.directions[6].norm() / median), rel=1e-5)
    assert vector.layers == (6, lmm.n_blocks)


def test_a_vector_is_the_same_from_disk_and_is_not_made_twice(lmm, asked, vector):
    again = make_vectors(
        lmm,
        YES_NO.contrast(asked),
        SteeringOptions(layers=(6, -1)),
        out=vector.folder,
        progress=lambda *_: pytest.fail("made again"),
    )
    for layer, v in vector.directions.items():
        assert torch.equal(again.directions[layer], v)
    with pytest.raises(ArtifactError, match="another run"):
        make_vectors(lmm, YES_NO.contrast(asked), SteeringOptions(layers=(2,)), out=vector.folder)


def test_a_steering_keeps_the_doctors_certificate_of_the_model_it_was_read_from(vector):
    assert vector.manifest["doctor"]["passed"]
    assert "blocks" in vector.manifest["doctor"]["modules"]


def test_a_steering_that_was_made_on_other_weights_is_refused_unless_that_is_said(changed_lmm, lmm, asked, vector):
    says = r"was made on other weights than those of toyland, changed: .*fingerprint is .*--other-weights"
    with pytest.raises(ArtifactError, match=says):
        vector.check(changed_lmm)
    with pytest.raises(ArtifactError, match=says), steer(changed_lmm, vector):
        pass
    vector.check(changed_lmm, other_weights=True)
    with steer(changed_lmm, vector.intervention()):
        changed_lmm.caption([asked[0].open()])
    vector.check(lmm)


def test_a_steering_that_is_damaged_or_of_another_model_is_refused(lmm, vector, tmp_path):
    for name in (FILE, "manifest.json"):
        (tmp_path / name).write_bytes((vector.folder / name).read_bytes())
    open_steering(tmp_path).check(lmm)
    reseal(tmp_path, parameters=vector.parameters | {"n_features": 3})
    with pytest.raises(ArtifactError, match="3 features"):
        open_steering(tmp_path).check(lmm)
    (tmp_path / FILE).write_bytes(b"x" + (tmp_path / FILE).read_bytes()[1:])
    with pytest.raises(ArtifactError, match="damaged"):
        open_steering(tmp_path)
