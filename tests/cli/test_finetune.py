"""`vitrail finetune`, from captions to an adapter."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from vitrail.cli import app
from vitrail.errors import UsageError
from vitrail.finetuning import FineTuneOptions, open_finetune

pytest.importorskip("peft")


def test_an_adapter_is_trained_and_its_loss_is_printed(world, tmp_path):
    out = tmp_path / "tune"
    command = ["finetune", "--style", "place", "--data", str(world), "--limit", "20", "--out", str(out), "--json"]
    sizes = ["--steps", "2", "--batch-size", "2", "--rank", "2", "--checkpoints", "1"]
    done = CliRunner().invoke(app, [*command, *sizes], catch_exceptions=False)
    found, made = json.loads(done.stdout), open_finetune(out)
    assert made.options == FineTuneOptions(steps=2, batch_size=2, rank=2, checkpoints=1, rate=2e-3)
    assert found["held_out_loss"] == {"before": made.loss.first, "after": made.loss.lowest}
    assert (found["steps"], found["best_step"], list(found["checkpoints"])) == (2, made.loss.best, ["2"])
    assert found["examples"]["n"] == made.n_examples


def test_concepts_are_followed_along_a_fine_tune(run, dog_study, world, tmp_path):
    sizes = ("--steps", 2, "--batch-size", 2, "--rank", 2, "--checkpoints", 0, "--watch-every", 1)
    arguments = ("--style", "place", "--data", world, "--watch", dog_study.folder, "--out", tmp_path / "tune")
    code, out, err = run("finetune", *arguments, *sizes)
    assert code == 0, err
    assert "Concepts of 'dog' were read 2 times" in out
    code, out, _ = run("monitor", "status", tmp_path / "tune-followed", "--json")
    found = json.loads(out)
    assert [reading["step"] for reading in found["readings"]] == [1, 2]
    assert (code, found["stands"]) in ((0, False), (3, True))
    code, out, _ = run("monitor", "status", tmp_path / "tune-followed")
    assert "read at the steps 1, 2." in out


def test_captions_are_chosen_by_a_style_or_by_words(world, tmp_path):
    for both in ([], ["--style", "place", "--words", "red"]):
        with pytest.raises(UsageError, match="either --style"):
            CliRunner().invoke(
                app, ["finetune", "--data", str(world), "--out", str(tmp_path / "t"), *both], catch_exceptions=False
            )
