"""What the page on steering tells people to run does run as it stands, in an empty folder, and does what it says."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vitrail.cli import app

ROOT = Path(__file__).parent.parent


def commands() -> list[str]:
    """The commands of the page on steering, from the first to the one that exports."""
    text = (ROOT / "docs" / "steering.md").read_text(encoding="utf-8")
    return re.findall(r"^vitrail (steer .*)$", text.split("\n`search`", 1)[0], re.MULTILINE)


def test_the_help_shows_the_commands_of_the_page() -> None:
    """The page adds only how many images are looked at."""
    files = (ROOT / "src" / "vitrail" / "cli" / "steer").glob("*.py")
    shown = re.findall(r"^        vitrail (steer .*)$", "\n".join(map(Path.read_text, files)), re.MULTILINE)
    assert {re.sub(r" --limit \d+", "", line) for line in commands()} <= {*shown}


@pytest.fixture(scope="module")
def steered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the commands of the page on steering give: the name of the command → its JSON. They run as they stand."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("steering"))
        for line in commands():
            done = CliRunner().invoke(app, [*shlex.split(line), "--json"], catch_exceptions=False)
            assert done.exit_code == 0, done.output
            assert "broken" not in done.stderr
            found[line.split()[1]] = json.loads(done.stdout)
        assert Path("colour.html").stat().st_size > 10_000
        assert Path("colour.gguf").read_bytes()[:4] == b"GGUF"
    return found


def held(effect: dict[str, float], without: dict[str, float], loss: dict[str, Any]) -> None:
    """What the page promises of the colour task on Toyland: the effect, and what the captions lose at most."""
    plain, now = loss["plain"], loss["steered"]
    assert effect["mean"] >= without["mean"] + 0.10
    assert now["cider"]["mean"] >= 0.85 * plain["cider"]["mean"]
    assert now["perplexity"] <= 1.25 * plain["perplexity"]
    assert loss["broken"] == []


def test_the_commands_of_the_page_on_steering_do_what_it_says(steered: dict[str, Any]) -> None:
    assert [*steered] == ["make", "search", "apply", "evaluate", "export"]
    assert steered["make"]["share"] == 0.5
    found = steered["search"]
    assert (found["picked"]["layer"], found["picked"]["alpha"]) == (6, 0.5)
    assert found["held_out"]["cost"] <= 0.10
    held(found["held_out"]["effect"], found["plain"]["effect"], found["held_out"]["loss"])
    applied = steered["apply"]
    held(applied["as_wanted"], applied["as_wanted_without"], applied["loss"])
    rows = {r["name"]: r for r in steered["evaluate"]}
    held(rows["mean"]["effect"], rows["none"]["effect"], rows["mean"]["loss"])
    assert rows["mean"]["cost"] <= 0.10
