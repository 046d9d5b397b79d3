"""`vitrail steer`, from samples to a page, and the page itself."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from safetensors.numpy import save_file
from tests.resealing import reseal
from typer.testing import CliRunner

from vitrail.artifacts import file_hash
from vitrail.cli import app
from vitrail.comparison import compare_studies
from vitrail.errors import UsageError
from vitrail.reports.steering import steering_page
from vitrail.reports.terms import SCORES
from vitrail.samples import load_samples
from vitrail.scores import Verdict, estimate
from vitrail.steering import open_steering
from vitrail.studies import Study
from vitrail.trials import Gallery, Level, TextFigures, TextLoss
from vitrail.trials.gallery import Shown


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
        "search",
        tmp_path / "m",
        "--task",
        "yes-no",
        "--data",
        questions,
        "--limit",
        40,
        "--strengths",
        "0.25",
        "--budget",
        "1",
        "--out",
        tmp_path / "s",
    )
    assert [p["layer"] for p in found["points"]] == [6, 8]
    assert found["picked"]["effect"]["mean"] == max(p["effect"]["mean"] for p in found["points"])
    assert all(p["loss"]["steered"]["perplexity"] > 1 for p in found["points"])
    page = (tmp_path / "s" / "search.html").read_text()
    assert "effect against cost of 2 layers and strengths" in page
    assert f"layers <b>{found['picked']['layer']}</b>" in page
    assert "effect against perplexity, unsteered model" in page
    assert "effect against other answers changed, %" in page
    done = call("apply", tmp_path / "m", "--data", questions, "--task", "yes-no", "--limit", 3, "--strength", 0.5)
    assert len(done["texts"]) == 3
    alone = call("apply", tmp_path / "m", "--data", questions, "--task", "yes-no", "--limit", 3, "--layer", 8)
    assert done["positions_changed"] > alone["positions_changed"] > 0
    with pytest.raises(UsageError, match="has layers 6, 8; got layer 5"):
        call("apply", tmp_path / "m", "--data", questions, "--layer", 5)
    call("export", tmp_path / "m", tmp_path / "v.gguf")
    assert (tmp_path / "v.gguf").read_bytes()[:4] == b"GGUF"
    again = call(
        "make",
        "--tensor",
        tmp_path / "v.gguf",
        "--data",
        questions,
        "--limit",
        8,
        "--positions",
        "last",
        "--out",
        tmp_path / "again",
    )
    assert (again["method"], again["layers"]) == ("tensor", [6, 8])


@pytest.fixture(scope="module")
def learned(questions, tmp_path_factory):
    """A LoReFT of two steps."""
    out = tmp_path_factory.mktemp("learned") / "r"
    call(
        "make",
        "--task",
        "yes-no",
        "--method",
        "loreft",
        "--layers",
        7,
        "--rank",
        1,
        "--steps",
        2,
        "--data",
        questions,
        "--limit",
        60,
        "--out",
        out,
    )
    return out


def test_every_table_has_all_baselines(questions, learned, tmp_path):
    rows = call(
        "evaluate",
        learned,
        "--task",
        "yes-no",
        "--data",
        questions,
        "--limit",
        80,
        "--steps",
        2,
        "--repeats",
        2,
        "--out",
        tmp_path / "e",
    )
    assert [r["name"] for r in rows] == ["none", "prompt", "random direction", "mean", "lora", "loreft (r)"]
    assert rows[0]["effect"]["mean"] == 0.0
    of = {r["name"]: r for r in rows}
    assert 0 < of["lora"]["trained_parameters"] <= of["loreft (r)"]["trained_parameters"] == 2 * 256 + 1
    assert all({"low", "high"} <= r["effect"].keys() and r["p"] <= 1 for r in rows)
    assert of["none"]["speed"]["share"]["median"] == 0.0
    assert all(r["speed"]["per_token"] > 0 for r in rows)
    assert json.loads((tmp_path / "e" / "evaluate.json").read_text())["contenders"] == rows
    page = (tmp_path / "e" / "evaluate.html").read_text()
    assert page.split('id="methods"')[1].count('<th scope="row">') == len(rows)
    assert of["prompt"]["loss"]["broken"]  # a request for another answer is answered by a caption
    assert not of["none"]["loss"]["broken"]
    assert (tmp_path / "e" / "mean" / "manifest.json").exists()


def test_without_peft_the_table_says_that_lora_is_missing(questions, learned, monkeypatch, caplog):
    monkeypatch.setattr("vitrail.trials.contenders.find_spec", lambda name: None)
    rows = call("evaluate", learned, "--task", "yes-no", "--data", questions, "--limit", 80)
    assert [r["name"] for r in rows] == ["none", "prompt", "random direction", "mean", "loreft (r)"]
    assert "LoRA is missing" in caplog.text
    assert "pip install 'vitrail[peft]'" in caplog.text


def test_concepts_and_their_shifts_become_vectors(lmm, activations, concepts, grounding, quick, tmp_path):
    study = concepts.folder.parent
    one = call("make", "--study", study, "--to", 2, "--out", tmp_path / "one")
    fine = call("make", "--study", study, "--from", 0, "--to", 2, "--out", tmp_path / "fine")
    assert (one["method"], fine["method"], fine["layers"]) == ("concept", "concept", [concepts.layer])
    shifts = np.arange(6, dtype=np.float32)[:, None] * np.ones((6, concepts.U.shape[1]), np.float32)
    opened = Study(study, activations, concepts, grounding)
    shift = write_shift(tmp_path / "shift", opened, lmm, quick, shifts)
    moved = call("make", "--study", study, "--shift", shift, "--to", 3, "--out", tmp_path / "moved")
    assert moved["method"] == "shift"
    active = concepts.V[concepts.V[:, 3] != 0, 3]  # the shift of an atom is per unit of its activation
    vector = open_steering(tmp_path / "moved").directions[concepts.layer].numpy()
    np.testing.assert_allclose(vector, active.mean() * shifts[3], rtol=1e-5)


def write_shift(folder, study, lmm, options, shifts):
    """A comparison of `study` with itself, in which the concepts moved by `shifts`."""
    compare_studies(study, study, lmm, lmm, out=folder, options=options)
    save_file({"shifts": shifts, "shifted": shifts, "mean_move": shifts[0]}, folder / "shift.safetensors")
    reseal(folder, files={name: file_hash(folder / name) for name in ("shift.json", "shift.safetensors")})
    return folder


def test_guards_of_several_layers_are_refused_before_anything_is_said_or_trained(questions, tmp_path, monkeypatch):
    asked = ["--data", questions, "--limit", 40]
    made = call("make", "--task", "yes-no", "--method", "guarded", "--layers", "6,8", *asked, "--out", tmp_path / "g")
    assert (made["method"], made["layers"]) == ("guarded", [6, 8])
    alone = call("apply", tmp_path / "g", "--layer", 8, *asked[:3], 4)
    assert alone["positions_changed"] > 0
    monkeypatch.setattr("vitrail.lmm.LMM.generate", None)
    monkeypatch.setattr("vitrail.runs.steer.evaluate.all_baselines", None)
    for command in (["apply"], ["evaluate", "--task", "yes-no"]):
        with pytest.raises(UsageError, match="one layer at a time"):
            call(*command, tmp_path / "g", *asked)


def test_fine_vectors_are_ranked_from_the_command_line(concepts, world):
    rows = call(
        "rank",
        concepts.folder.parent,
        "--to",
        1,
        "--data",
        world,
        "--limit",
        6,
        "--strength",
        2,
        "--best",
        3,
        "--max-new-tokens",
        6,
    )
    assert len(rows) == 3
    assert all(r["to"] == 1 != r["from"] for r in rows)
    assert [r["low"] for r in rows] == sorted((r["low"] for r in rows), reverse=True)


@pytest.fixture
def coco(world, tmp_path):
    """Captions and questions with the file names, and in the form, of COCO 2014 and VQAv2; images beside them."""
    found = load_samples(world, split="train", limit=30)
    asked = load_samples(world / "v2_OpenEnded_mscoco_train2014_questions.json", limit=300)
    number = {name: i + 1 for i, name in enumerate(dict.fromkeys(s.image.name for s in [*found, *asked]))}
    folder = tmp_path / "coco" / "val2014"
    folder.mkdir(parents=True)
    for s in [*found, *asked]:
        file = folder / f"COCO_val2014_{number[s.image.name]:012d}.jpg"
        if not file.exists():
            s.open().save(file)
    captions = {
        "images": [
            {"id": number[s.image.name], "file_name": f"COCO_val2014_{number[s.image.name]:012d}.jpg"} for s in found
        ],
        "annotations": [{"image_id": number[s.image.name], "id": 1, "caption": r} for s in found for r in s.references],
    }
    where = tmp_path / "coco"
    (where / "captions_val2014.json").write_text(json.dumps(captions))
    asking = [{"question_id": i, "image_id": number[s.image.name], "question": s.question} for i, s in enumerate(asked)]
    said = [
        {
            "question_id": i,
            "image_id": number[s.image.name],
            "question_type": " ".join(s.question.split()[:2]),
            "answer_type": s.answer_type,
            "multiple_choice_answer": s.answers[0],
            "answers": [{"answer": a, "answer_confidence": "yes", "answer_id": k} for k, a in enumerate(s.answers)],
        }
        for i, s in enumerate(asked)
    ]
    (where / "v2_OpenEnded_mscoco_val2014_questions.json").write_text(
        json.dumps({"data_subtype": "val2014", "questions": asking})
    )
    (where / "v2_mscoco_val2014_annotations.json").write_text(json.dumps({"annotations": said}))
    return where


def test_captions_of_coco_and_questions_of_vqa_go_through_the_same_commands(coco, tmp_path):
    captions, asked = coco / "captions_val2014.json", coco / "v2_OpenEnded_mscoco_val2014_questions.json"
    for task, data, rest in (("colour", captions, ["--until-said"]), ("yes-no", asked, [])):
        home = tmp_path / task
        call("make", "--task", task, "--layers", 6, "--data", data, "--out", home / "m")
        found = call(
            "search",
            home / "m",
            "--task",
            task,
            "--data",
            data,
            "--strengths",
            "0.5",
            "--budget",
            1,
            "--limit",
            60,
            "--out",
            home / "s",
            *rest,
        )
        assert found["picked"]["effect"]["mean"] > found["unsteered"]["effect"]["mean"], task
        assert found["held_out"]["effect"]["mean"] > found["plain"]["effect"]["mean"], task
        rows = call(
            "evaluate",
            home / "m",
            "--task",
            task,
            "--data",
            data,
            "--limit",
            60,
            "--steps",
            2,
            *rest,
        )
        assert [r["name"] for r in rows] == ["none", "prompt", "random direction", "mean", "lora"]
    assert {"all", "yes/no", "other"} <= set(found["held_out"]["side"]["accuracy"])  # by VQAv2's own answer types


def test_broken_captions_are_said_on_stderr_and_on_the_page_and_nothing_fails(world, tmp_path):
    data = ["--task", "place", "--data", str(world), "--limit", "12"]
    call("make", *data, "--layers", "6,8", "--out", tmp_path / "m")
    run = CliRunner().invoke(
        app,
        [
            "steer",
            "apply",
            str(tmp_path / "m"),
            *data,
            "--strength",
            "4",
            "--gallery",
            str(tmp_path / "g.html"),
            "--gallery-strengths",
            "0.5",
            "--json",
        ],
    )
    assert run.exit_code == 0
    assert "Warning: the captions are broken: perplexity" in run.stderr
    found = json.loads(run.stdout)
    assert found["as_wanted"]["mean"] > 0.9
    assert found["as_wanted_without"]["n"] == found["as_wanted"]["n"] == 12
    assert "captions that have a word of the task" in found["task"]["wanted"]
    assert found["loss"]["broken"]
    page = (tmp_path / "g.html").read_text()
    assert f"the captions are broken: {found['loss']['broken'][0]}" in page
    assert "captions that have a word of the task" in page
    mild = CliRunner().invoke(app, ["steer", "apply", str(tmp_path / "m"), *data, "--strength", "0.5"])
    assert "Warning" not in mild.stderr
    assert "; the captions are not broken: " in mild.stdout
    assert re.search(r"\d+% \(\d+ of 12\) as wanted, .* no steering .*; the captions", mild.stdout)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["make", "--task", "colour", "--out", "x", "--layers", "8,-1"], "named twice"),
        (["apply", "m", "--strength", "nan"], "got nan"),
        (["apply", "m", "--gallery", "g.html", "--gallery-strengths", "1,inf"], "got inf"),
        (["apply", "m", "--strength", "1e300"], r"got 1e\+300"),
        (["search", "m", "--task", "colour", "--out", "x", "--strengths", "1,nan"], "got nan"),
        (["evaluate", "m", "--task", "colour", "--strength", "inf"], "got inf"),
        (["rank", "s", "--strength", "nan"], "got nan"),
        (["make", "--task", "weather", "--out", "x"], "no task 'weather'"),
        (
            ["make", "--task", "colour", "--out", "x", "--layers", "6,7", "--method", "l2s", "--limit", "20"],
            "one layer",
        ),
        (["make", "--out", "x"], "--task, --study or --tensor; got none"),
        (["make", "--out", "x", "--task", "colour", "--tensor", "v.npy"], "got --task and --tensor"),
        (["make", "--out", "x", "--task", "colour", "--to", "3"], "--to need --study"),
        (["make", "--out", "x", "--tensor", "v.npy", "--layers", "6,8"], "needs a single --layers"),
        (["make", "--out", "x", "--study", "nowhere"], "needs --to"),
    ],
)
def test_bad_input_is_named(world, arguments, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=what):
        CliRunner().invoke(app, ["steer", *arguments, "--data", str(world)], catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["rank", "STUDY", "--to", "9", "--data", "WORLD"], "concepts 0 to 5"),
        (["make", "--study", "STUDY", "--to", "9", "--out", "x"], "concepts 0 to 5"),
        (["make", "--study", "STUDY", "--to", "1", "--from", "0", "--shift", "s", "--out", "x"], "leave out --from"),
    ],
)
def test_concepts_that_do_not_exist_are_named(concepts, world, arguments, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = {"STUDY": str(concepts.folder.parent), "WORLD": str(world)}
    with pytest.raises(UsageError, match=what):
        CliRunner().invoke(app, ["steer", *(places.get(a, a) for a in arguments)], catch_exceptions=False)


def test_the_page_is_whole_offline_and_believes_nothing(tmp_path):
    hostile = '<script>alert("x")</script>'
    figures = TextFigures(2.0, 3.0, 0.0, 0.5, None)
    loss = TextLoss(figures, figures, 1.0, (hostile,))
    levels = (
        Level(0.0, ("a dog",), TextLoss(figures, figures, 0.0, ())),
        Level(1.0, (f"a red {hostile}",), loss, estimate(np.ones(1)), Verdict("good", hostile)),
    )
    shown = (Shown(hostile, b"", hostile),)
    gallery = Gallery(hostile, "toyland", {"by": hostile}, levels, shown, success=hostile, marked=("red",))
    path = steering_page(gallery, out=tmp_path / "page.html")
    page = path.read_text()
    assert hostile not in page
    assert not re.search(r"https?://|@import|url\((?!#)", page.replace(SCORES, ""))
    assert "<mark>red</mark>" in page
    assert "default-src 'none'" in page
