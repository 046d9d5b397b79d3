"""`vitrail steer`, from samples to a page, and the page itself."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from vitrail.cli import app
from vitrail.errors import UsageError
from vitrail.report.steering import Shown, steering_page


def call(*arguments: object) -> dict:
    result = CliRunner().invoke(app, ["steer", *map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def questions(world):
    return world / "v2_OpenEnded_mscoco_train2014_questions.json"


def test_a_steering_is_made_searched_for_applied_evaluated_and_exported(questions, tmp_path):
    made = call(
        "make", "--task", "yes-no", "--layers", "6,8", "--data", questions, "--limit", 40, "--out", tmp_path / "m"
    )
    assert made["layers"] == [6, 8]
    assert all(norm > 0 for norm in made["norms"].values())
    found = call(
        "search", tmp_path / "m", "--task", "yes-no", "--data", questions, "--limit", 40, "--strengths", "1",
        "--budget", "1", "--out", tmp_path / "s",
    )  # fmt: skip
    assert [p["layer"] for p in found["points"]] == [6, 8]
    assert found["picked"]["effect"]["mean"] == max(p["effect"]["mean"] for p in found["points"])
    assert "<svg" in (tmp_path / "s" / "search.html").read_text()
    done = call("apply", tmp_path / "m", "--data", questions, "--task", "yes-no", "--limit", 3, "--strength", 0.5)
    assert done["positions_changed"] > 0
    assert len(done["texts"]) == 3
    rows = call("evaluate", tmp_path / "m", "--task", "yes-no", "--data", questions, "--limit", 24)
    assert [r["name"] for r in rows] == ["none", "prompt", "random direction", "mean (m)"]
    assert rows[0]["effect"]["mean"] == 0.0
    call("export", tmp_path / "m", tmp_path / "v.gguf")
    assert (tmp_path / "v.gguf").read_bytes()[:4] == b"GGUF"


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["make", "--task", "weather", "--out", "x"], "no task 'weather'"),
        (["make", "--task", "colour", "--out", "x", "--layers", "first"], "whole number"),
        (
            ["make", "--task", "colour", "--out", "x", "--layers", "6,7", "--method", "l2s", "--limit", "20"],
            "one layer",
        ),
    ],
)
def test_bad_input_is_named(world, arguments, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=what):
        CliRunner().invoke(app, ["steer", *arguments, "--data", str(world)], catch_exceptions=False)


def test_the_page_is_whole_offline_and_believes_nothing(tmp_path):
    hostile = '<script>alert("x")</script>'
    shown = [Shown(hostile, b"", hostile, ("a dog", f"a red {hostile}"))]
    path = steering_page(
        tmp_path / "page.html", title=hostile, model="toyland", about={"by": hostile}, alphas=[0.0, 1.0], shown=shown,
        worked=[0.0, 1.0], marked=["red"],
    )  # fmt: skip
    page = path.read_text()
    assert hostile not in page
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    assert "<mark>red</mark>" in page
    assert "default-src 'none'" in page
