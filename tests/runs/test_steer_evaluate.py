"""`vitrail.evaluate_steerings` leaves what it finished: killed after every part, it ends with the same bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.killing import content, killed_after_each_part

from vitrail.artifacts import KeptParts
from vitrail.runs.steer.evaluate import EvaluationSamples, _decided, evaluate_steerings
from vitrail.steering import TASKS, SteeringOptions, make_steering, until_said
from vitrail.trials import ContestOptions

pytest.importorskip("peft")

OPTIONS = ContestOptions(steps=1, repeats=1, batch_size=5)
TASK = replace(TASKS["colour"], max_new_tokens=5)


@pytest.fixture(scope="module")
def given(lmm, samples, tmp_path_factory):
    """A model, a task, samples and a steering of one layer."""
    out = tmp_path_factory.mktemp("steering") / "mean"
    made = make_steering(lmm, TASK, samples[:30], SteeringOptions((6,)), out=out)
    return lmm, TASK, EvaluationSamples(samples[40:52], samples[70:76]), [made]


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Times that are written are always the same."""
    monkeypatch.setattr("vitrail.trials.contenders.time.perf_counter", lambda: 0.0)
    monkeypatch.setattr("vitrail.trials.speed._seconds", lambda *_: 1.0)


def test_killed_after_every_part_it_ends_with_the_same_bytes(given, monkeypatch, tmp_path):
    evaluate_steerings(*given, OPTIONS, out=tmp_path / "whole", progress=False)
    n = killed_after_each_part(
        lambda: evaluate_steerings(*given, OPTIONS, out=tmp_path / "killed", progress=False), monkeypatch
    )
    assert n == 1 + 1 + 2 * 5  # LoRA, the times, and of five contenders what they say and how it is judged
    assert content(tmp_path / "killed") == content(tmp_path / "whole")


def test_whatever_changes_the_figures_makes_other_parts(given, changed_lmm, samples, tmp_path):
    lmm, task, some, [made] = given
    same = (lmm, task, some, [made], OPTIONS, None)
    others = {
        "model": (changed_lmm, *same[1:]),
        "task": (lmm, TASKS["place"], *same[2:]),
        "captions": (lmm, task, replace(some, test=[replace(some.test[0], references=()), *some.test[1:]]), *same[3:]),
        "training": (lmm, task, replace(some, training=some.test), *same[3:]),
        "steering": (*same[:3], [replace(made, tensors={k: 2 * t for k, t in made.tensors.items()})], *same[4:]),
        "options": (*same[:4], replace(OPTIONS, positions=until_said(lmm, task)), None),
    }
    places = {name: KeptParts(tmp_path, _decided(*which)).place("a", tmp_path) for name, which in others.items()}
    assert len({*places.values(), KeptParts(tmp_path, _decided(*same)).place("a", tmp_path)}) == 7
    assert KeptParts(tmp_path, _decided(*others["options"])).place("a", tmp_path) == places["options"]
