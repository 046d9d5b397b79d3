"""`vitrail words`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from vitrail.cli import app
from vitrail.cli.choices import DataChoice
from vitrail.errors import UsageError
from vitrail.progress import silent

run = CliRunner().invoke


def test_words_are_counted_before_any_work(captions):
    done = run(app, ["words", "--data", str(captions), "--count", "dog,dogs,cat", "--json"])
    assert json.loads(done.stdout) == {"samples": 3, "words": {"dog": 1, "dogs": 1, "cat": 0}}
    done = run(app, ["words", "--data", str(captions), "--count", "colour"])
    assert done.exit_code == 0
    assert "black" in done.output


def test_the_most_frequent_nouns_and_the_forms_of_one(captions):
    pytest.importorskip("lemminflect")
    done = run(app, ["words", "--data", str(captions), "-n", "2", "--json"])
    assert json.loads(done.stdout)["words"] == {"dog": 2, "street": 1}
    assert run(app, ["words", "--forms-of", "dog"]).stdout.strip() == "dogs"


def test_the_words_of_another_language_are_counted_and_its_forms_are_not_guessed(tmp_path):
    lines = [json.dumps({"image": f"{i}.png", "caption": c}) for i, c in enumerate(["ein Hund", "der Hund rennt"])]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    done = run(app, ["words", "--data", str(tmp_path / "data.jsonl"), "--language", "de", "--json"])
    assert json.loads(done.stdout)["words"] == {"hund": 2, "rennt": 1}
    with pytest.raises(UsageError, match="Inflections are known of English, not of 'de'"):
        run(app, ["words", "--forms-of", "Hund", "--language", "de"], catch_exceptions=False)


def test_a_file_is_a_list_of_ones_own(captions, tmp_path):
    own = tmp_path / "own.txt"
    with pytest.raises(UsageError, match=r"There is no file .*own\.txt"):
        run(app, ["words", "--data", str(captions), "--count", str(own)], catch_exceptions=False)
    own.write_text("black dog\n\nbus\n")
    done = run(app, ["words", "--data", str(captions), "--count", str(own), "--json"])
    assert json.loads(done.stdout)["words"] == {"black dog": 1, "bus": 1}
    chosen = DataChoice(data=str(captions), having=str(own)).load(silent)
    assert [s.id for s in chosen] == ["0", "2"]
