"""A shell completes commands, options, values and the names in registries."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from vitrail.cli import app
from vitrail.learners import LEARNERS
from vitrail.steering import task_methods


def completed(typed: str, shell: str = "bash") -> list[str]:
    """What `shell` is told when the tab key is pressed after `typed`."""
    words = typed.split()
    at = len(words) if typed.endswith(" ") else len(words) - 1
    asked = {"_VITRAIL_COMPLETE": f"complete_{shell}", "COMP_WORDS": typed, "COMP_CWORD": str(at)}
    if shell != "bash":
        asked = {"_VITRAIL_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": typed}
        asked["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    return CliRunner().invoke(app, [], env=asked, prog_name="vitrail").stdout.split()


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("vitrail st", ["study", "steer"]),
        ("vitrail steer ma", ["make"]),
        ("vitrail extract --requ", ["--require"]),
        ("vitrail study --require ", ["both", "predicted", "truth"]),
        ("vitrail learn studies/dog --method ", list(LEARNERS)),
        ("vitrail learn studies/dog --method se", ["semi-nmf"]),
        ("vitrail evaluate --methods pca,k", ["pca,kmeans"]),
        ("vitrail steer make --method ", list(task_methods())),
    ],
)
def test_what_is_offered_after_what_was_typed(typed, offered):
    assert completed(typed) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_the_same(shell):
    assert "semi-nmf" in " ".join(completed("vitrail learn studies/dog --method se", shell))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_a_shell_is_shown(shell, monkeypatch):
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: (shell, f"/bin/{shell}"))
    done = CliRunner().invoke(app, ["--show-completion"], prog_name="vitrail")
    assert done.exit_code == 0
    assert "_VITRAIL_COMPLETE" in done.stdout
