"""The registry of methods: one entry is all that a new method needs."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from vitrail.artifacts import write_manifest
from vitrail.cli import app
from vitrail.errors import ArtifactError, UsageError
from vitrail.steering import METHODS, TASKS, Steering, SteeringMethod, make_steering, open_steering
from vitrail.steering.methods.from_states import add_vectors, make_from_task


def medians_apart(toward: torch.Tensor, away: torch.Tensor, seed: int) -> torch.Tensor:
    """The difference of the medians of each feature."""
    return toward.median(dim=0).values - away.median(dim=0).values


#: A method that no file of the package knows.
TOY = SteeringMethod("toy", "difference of medians", add_vectors, make_from_task, direction=medians_apart)


def call(*arguments: object) -> dict:
    result = CliRunner().invoke(app, ["steer", *map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_new_method_needs_an_entry_and_nothing_else(world, tmp_path, monkeypatch):
    monkeypatch.setitem(METHODS, "toy", TOY)
    questions = world / "v2_OpenEnded_mscoco_train2014_questions.json"
    data = ["--task", "yes-no", "--data", questions, "--limit"]
    made = call("make", *data, 60, "--method", "toy", "--layers", 7, "--out", tmp_path / "toy")
    assert (made["method"], made["layers"]) == ("toy", [7])
    found = call("search", tmp_path / "toy", *data, 40, "--strengths", 1, "--budget", 1, "--out", tmp_path / "s")
    assert [p["layer"] for p in found["points"]] == [7]
    rows = call("evaluate", tmp_path / "toy", *data, 60, "--steps", 2, "--out", tmp_path / "e")
    assert rows[-1]["name"] == "toy (toy)"
    assert call("apply", tmp_path / "toy", *data, 4)["positions_changed"] > 0
    call("export", tmp_path / "toy", tmp_path / "toy.gguf")
    assert (tmp_path / "toy.gguf").read_bytes()[:4] == b"GGUF"


def test_the_command_line_offers_the_methods_of_the_registry(monkeypatch):
    monkeypatch.setitem(METHODS, "toy", TOY)
    refused = CliRunner().invoke(app, ["steer", "make", "--task", "colour", "--out", "x", "--method", "magic"])
    assert refused.exit_code == 2
    assert "'toy'" in refused.output
    assert "'concept'" not in refused.output  # which no task makes


def test_a_method_that_is_not_there_is_named(lmm, samples, tmp_path):
    with pytest.raises(UsageError, match="no steering method 'magic'; there are mean, guarded"):
        make_steering(lmm, TASKS["colour"], samples, method="magic", out=tmp_path / "m")
    with pytest.raises(UsageError, match=r"made from a task by mean, .*; got 'concept'"):
        make_steering(lmm, TASKS["colour"], samples, method="concept", out=tmp_path / "m")


def test_a_steering_of_a_method_that_is_not_there_is_refused(tmp_path):
    parameters = {"method": "magic", "layers": [], "applied_at": "last", "n_features": 4, "model": None}
    write_manifest(tmp_path, "steering", {"parameters": parameters, "medians": {}})
    with pytest.raises(ArtifactError, match="by the method 'magic', which this version"):
        open_steering(tmp_path)


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda m: m.name)
def test_a_method_is_a_vector_or_a_function(method):
    tensors = {"layer.3": torch.ones(4)} if method.is_vector else {}
    one = Steering(method, {"parameters": {"layers": [3], "applied_at": "last"}, "medians": {"3": 2.0}}, tensors)
    if method.is_vector:
        assert one.norms == {3: 1.0}
        with pytest.raises(UsageError, match="no learned function"):
            one.functions()
    else:
        with pytest.raises(UsageError, match="has no vectors"):
            _ = one.directions
        with pytest.raises(UsageError, match="keep_norm is for vectors"):
            one.intervention(keep_norm=True)
