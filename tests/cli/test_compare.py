"""`vitrail compare`."""

from __future__ import annotations

import json

import pytest

from vitrail.extraction import extract


def test_a_fine_tune_and_what_it_did_by_two_commands(run, lmm, dogs, world, study_by, tmp_path):
    pytest.importorskip("peft")
    study = tmp_path / "a"
    activations = extract(lmm, dogs[:10], "dog", out=study / "activations", layers=[4, -1], require="truth")
    study_by("kmeans", activations, study, 4)
    learning = ("--data", world, "--split", "train", "--limit", 20, "--steps", 2, "--batch-size", 2, "--checkpoints", 2)
    code, out, err = run(
        "finetune", *learning, "--style", "place", "--out", tmp_path / "t", "--device", "cpu", "--json"
    )
    assert code == 0, err
    assert list(json.loads(out)["checkpoints"]) == ["1", "2"]
    common = ("--a", study, "--adapter", tmp_path / "t", "--device", "cpu", "--words", 5)
    data = ("--data", world, "--split", "train", "--whole", 2, "--checkpoints", tmp_path / "t")
    code, out, err = run("compare", *common, *data, "--out", tmp_path / "shift", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["samples"]["common"] == 10
    assert found["whole"]["n_samples"] == 2
    assert [p["step"] for p in found["steps"]] == [1, 2]
    assert [p["layer"] for p in found["layers"]] == [4, 8]
    page = (tmp_path / "shift" / "report.html").read_text()
    assert "By layer" in page
    assert "Along the fine-tune" in page
    code, out, err = run("compare", "--a", study, "--b", tmp_path / "shift" / "b", "--out", tmp_path / "again")
    assert code == 0, err
    assert "T-Overlap with the match" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Give either --b, or --model-b or --adapter; got none of them"),
        (("--b", "x", "--adapter", "y"), "got --b, --adapter"),
        (("--adapter", "y"), "--data is needed"),
        (("--b", "nowhere", "--checkpoints", "y"), "--data is needed"),
        (("--b", "nowhere"), "There is no study at a"),
    ],
)
def test_what_cannot_be_compared_is_said(run, tmp_path, arguments, message):
    code, _, err = run("compare", "--a", "a", "--out", tmp_path / "s", *arguments)
    assert code in (1, 2)
    assert message in err
