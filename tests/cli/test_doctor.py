"""`vitrail doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.families.builders import llava, shaken
from typer.testing import CliRunner

from vitrail.cli import app
from vitrail.errors import ModelError, UsageError
from vitrail.lmm import LMM
from vitrail.toyland.draw import draw
from vitrail.toyland.world import scene

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


def test_the_doctor_looks_at_images_of_ones_own(folder, tmp_path):
    for i in range(2):
        draw(scene(i)).save(tmp_path / f"{i}.png")
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


#: What is said of the model wrongly → what is answered.
WRONG = {
    "no such module": (["--part", "norm=model.nrom"], ModelError, r"As norm would fit: model\.language_model\.norm"),
    "no module": (["--part", "norm"], UsageError, "Expected NAME=VALUE"),
    "no place for the request": (["--prompt-template", "Q: {image}"], UsageError, "where the request goes"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_said_of_a_model_wrongly_is_refused(folder, case):
    options, error, answered = WRONG[case]
    with pytest.raises(error, match=answered):
        run(app, ["doctor", str(folder), "--device", "cpu", *options], catch_exceptions=False)


def test_parts_that_are_said_are_taken(folder):
    said = ["--part", "norm=model.language_model.norm", "--part", "connector=model.multi_modal_projector"]
    done = run(app, ["doctor", str(folder), "--device", "cpu", "--json", *said])
    assert (done.exit_code, json.loads(done.stdout)["passed"]) == (0, True)
    assert json.loads(done.stdout)["model"]["parts"]["connector"] == "model.multi_modal_projector"


def test_a_template_may_lie_in_a_file_and_stands_in_the_certificate(folder, tmp_path):
    (tmp_path / "asked.txt").write_text("Q: {image} {request} A:{answer}\n", encoding="utf-8")
    options = ["--prompt-template", str(tmp_path / "asked.txt"), "--json"]
    done = run(app, ["doctor", str(folder), "--device", "cpu", *options])
    assert json.loads(done.stdout)["model"]["prompt_template"] == "Q: {image} {request} A:{answer}"
