"""`vitrail doctor` and `vitrail words`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from families.builders import llava, shaken
from vitrail.cli import app
from vitrail.cli.objects import to_samples
from vitrail.errors import UsageError
from vitrail.lmm import LMM

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
run = CliRunner().invoke


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("llava")
    network, processor = llava()
    shaken(network).save_pretrained(path)
    processor.save_pretrained(path)
    return path


def test_the_doctor_says_what_it_found_and_that_all_is_well(folder):
    done = run(app, ["doctor", str(folder), "--device", "cpu"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    for text in ("model.vision_tower", "lm_head", "✓", "states are the library's", "all checks passed"):
        assert text in done.output


def test_the_doctor_looks_at_images_of_ones_own(folder, tmp_path, pictures):
    for i, picture in enumerate(pictures[:2]):
        picture.save(tmp_path / f"{i}.png")
    images = [part for i in range(2) for part in ("--image", str(tmp_path / f"{i}.png"))]
    done = run(app, ["doctor", str(folder), "--device", "cpu", "--json", *images])
    found = json.loads(done.stdout)
    assert (done.exit_code, found["passed"]) == (0, True)
    assert found["modules"]["blocks"] == "model.language_model.layers"
    assert {"name", "passed", "error", "says"} == set(found["checks"][0])
    with pytest.raises(UsageError, match="two images or three"):
        run(app, ["doctor", str(folder), "--image", str(tmp_path / "0.png")], catch_exceptions=False)


def test_the_doctors_exit_code_is_one_when_something_fails(folder, monkeypatch):
    logits = LMM.logits
    monkeypatch.setattr(LMM, "logits", lambda self, *args: 2 * logits(self, *args))
    done = run(app, ["doctor", str(folder), "--device", "cpu"], env={"COLUMNS": "200"})
    assert done.exit_code == 1
    assert "✗" in done.output
    assert "checks failed" in done.output


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    rows = ["the black dog is running", "two dogs in the street", "a red bus"]
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    lines = [json.dumps({"id": str(i), "image": "a.png", "caption": text}) for i, text in enumerate(rows)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    return tmp_path / "data.jsonl"


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


def test_samples_are_chosen_by_word_and_by_id(captions, tmp_path):
    ids = tmp_path / "ids.txt"
    ids.write_text("2\n0\n")

    def chosen(**options) -> list[str]:
        return [s.id for s in to_samples(str(captions), None, None, None, lambda *_: None, **options)]

    assert chosen(having="dog,dogs") == ["0", "1"]
    assert chosen(ids=ids) == ["0", "2"]
    assert chosen(ids=ids, having="colour") == ["0", "2"]


def test_a_file_is_a_list_of_ones_own(captions, tmp_path):
    own = tmp_path / "own.txt"
    with pytest.raises(UsageError, match=r"There is no file .*own\.txt"):
        run(app, ["words", "--data", str(captions), "--count", str(own)], catch_exceptions=False)
    own.write_text("black dog\n\nbus\n")
    done = run(app, ["words", "--data", str(captions), "--count", str(own), "--json"])
    assert json.loads(done.stdout)["words"] == {"black dog": 1, "bus": 1}
    assert [s.id for s in to_samples(str(captions), None, None, None, lambda *_: None, having=str(own))] == ["0", "2"]
