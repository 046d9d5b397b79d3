"""`vitrail evaluate`: a study, several methods, and every kind of bad input. Never a traceback."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vitrail import cli
from vitrail.cli.choices import ModelChoice, StudyModel
from vitrail.cli.evaluate import EvaluatedData
from vitrail.errors import UsageError
from vitrail.explanation import save_explanations
from vitrail.lmm.scorers import ImageTextScorer, TextScorer
from vitrail.progress import silent
from vitrail.samples import load_samples
from vitrail.scores.verdicts import MARKS


def direction(text: str) -> np.ndarray:
    return np.random.default_rng(sum(map(ord, text))).normal(size=8)


@pytest.fixture
def run(run, monkeypatch: pytest.MonkeyPatch, lmm):
    """Runs `vitrail evaluate ARGUMENTS` in this process, with this model and scorers that take no time."""
    image = ImageTextScorer(
        "fake",
        "fake",
        lambda images: torch.tensor(np.array([np.asarray(i, float).mean(axis=(0, 1)) for i in images])),
        lambda texts: torch.tensor(np.array([direction(t)[:3] for t in texts])),
    )
    text = TextScorer(
        "fake", "fake", 2, lambda texts: [torch.tensor(np.array([direction(w) for w in t.split()])) for t in texts]
    )
    monkeypatch.setattr(sys.modules["vitrail.lmm.scorers"], "load_image_scorer", lambda name, device: image)
    monkeypatch.setattr(sys.modules["vitrail.lmm.scorers"], "load_text_scorer", lambda name, layer, device: text)
    for group in (ModelChoice, StudyModel):
        monkeypatch.setattr(group, "load", lambda *_: lmm)

    return functools.partial(run, "evaluate")


@pytest.fixture
def study(activations, concepts, grounding, tmp_path) -> Path:
    """The study of the session's dogs, in a folder of its own."""
    home = tmp_path / "dog"
    for artifact in (activations, concepts, grounding):
        shutil.copytree(artifact.folder, home / artifact.folder.name)
    save_explanations([], grounding, home / "explanations")
    return home


def without_verdicts(value):
    """JSON without what follows from its numbers, in words."""
    if isinstance(value, list):
        return [without_verdicts(v) for v in value]
    if isinstance(value, dict):
        return {k: without_verdicts(v) for k, v in value.items() if k not in ("verdict", "unit_verdict")}
    return value


def test_a_study_is_evaluated_into_its_folder_and_its_report(run, study, world, monkeypatch):
    code, out, err = run(study, "--data", world, "--random", 20, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert without_verdicts(found) == json.loads((study / "evaluation" / "evaluation.json").read_text())
    assert found["truth"]["lost"]["verdict"]["concept"]["text"] == "not measured"  # four samples are too few
    against = found["concepts"]["clip"]["against"]
    assert {c["verdict"]["kind"] for c in against.values()} <= set(MARKS)
    assert "random words" in against["random"]["verdict"]["text"]
    assert found["dictionary"]["dead concepts"]["verdict"]["text"] == "every concept is used"
    assert (found["word"], found["n_concepts"]) == ("dog", 6)
    assert found["truth"]["n_new"] == found["n_test"] == 4
    assert found["test_from"] == f"the split test of {world}"
    assert "random words" in (study / "evaluation" / "evaluation.md").read_text()
    assert 'id="evaluation"' in (study / "report.html").read_text()
    assert {"test", "noise", "embeddings"} <= {p.name for p in study.iterdir()}
    (study / "report.html").unlink()
    monkeypatch.setattr(sys, "argv", ["vitrail", "report", str(study)])
    with contextlib.suppress(SystemExit):
        cli.main()
    assert 'id="evaluation"' in (study / "report.html").read_text()


def test_maps_are_judged_against_masks_and_against_annotated_things(run, study, world, tmp_path):
    quick = ["--maps", 1, "--map-method", "gradient-tokens", "--no-noise", "--random", 5, "--json"]
    code, out, err = run(study, "--data", world, *quick)
    assert code == 0, err
    found = json.loads(out)["maps"]
    assert (found["method"], found["n_images"]) == ("gradient-tokens", 1)
    assert set(found["measures"]) == {
        "deletion",
        "insertion",
        "flip",
        "shift",
        "pointing",
        "energy",
    }  # one has no overlap
    controls = found["measures"]["deletion"]["against"]
    assert set(controls) == {"pieces", "blob", "other", "direction", "weights"}
    assert "pieces at random" in controls["pieces"]["verdict"]["text"]
    assert "subject: kind" in found["parts"]  # of the word
    written = (study / "evaluation" / "evaluation.md").read_text()
    assert "Where in the image: maps" in written
    assert "Do maps show the right part?" in written
    page = (study / "report.html").read_text()
    assert "The activation while pieces of images are blurred" in page
    assert "random weights" in page

    held_out = load_samples(world, split="test")
    images = [{"id": int(s.id), "file_name": s.image.name, "width": 112, "height": 112} for s in held_out]
    things = [
        {"id": i, "image_id": one["id"], "category_id": 1, "bbox": [0, 0, 112, 56]} for i, one in enumerate(images)
    ]
    instances = {"images": images, "annotations": things, "categories": [{"id": 1, "name": "dog"}]}
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    code, _, err = run(study, "--data", world, "--objects", tmp_path / "instances.json", *quick)
    assert code == 1
    assert "parts is" in err  # the folder holds scores against the masks
    shutil.rmtree(study / "evaluation")
    code, out, err = run(study, "--data", world, "--objects", tmp_path / "instances.json", *quick)
    assert code == 0, err
    parts = json.loads(out)["maps"]["parts"]
    assert set(parts) == {"the word"}
    assert parts["the word"]["area"]["mean"] == 0.5


def test_methods_are_compared_on_words(run, world, tmp_path):
    out = tmp_path / "comparison"
    asked = ["--words", "dog", "--methods", "simple,pca", "--concepts", 3, "--random", 10, "--require", "truth"]
    code, printed, err = run(*asked, "--no-noise", "--data", world, "--out", out)
    assert code == 0, err
    assert "| dog | CLIPScore |" in printed
    assert {"comparison.json", "comparison.md", "comparison.tex", "report.html"} <= {p.name for p in out.iterdir()}
    assert r"\toprule" in (out / "comparison.tex").read_text()
    assert json.loads((out / "comparison.json").read_text())["main"] == "pca"
    written = (out / "comparison.md").read_text().partition("<!-- written by Vitrail")[0]
    assert printed == written + f"\nThe report is {out / 'report.html'}\n"


def test_held_out_samples_may_lie_elsewhere(run, study, world, tmp_path):
    """Data without splits: what a study was made of in one place, what it is tested on in another."""
    from vitrail.samples import load_samples

    lines = [
        {"id": f"elsewhere-{s.id}", "image": str(s.image), "captions": list(s.references)}
        for s in load_samples(world, split="test")
    ]
    (tmp_path / "held-out.jsonl").write_text("\n".join(map(json.dumps, lines)))
    elsewhere = tmp_path / "held-out.jsonl"
    asked = ["--data", world, "--held-out", elsewhere, "--allow-outside", "--random", 5, "--no-noise", "--json"]
    code, out, err = run(study, *asked)
    assert code == 0, err
    assert json.loads(out)["n_test"] > 0
    assert json.loads((study / "test" / "manifest.json").read_text())["parameters"]["samples"]["n"] == len(lines)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Name either a STUDY to evaluate, or --words"),
        (["x", "--words", "dog"], 2, "Name either a STUDY to evaluate, or --words"),
        (["x", "--layers", "all"], 2, "--layers is for a comparison of methods"),
        (["x", "--map-method", "occlusion"], 2, "--map-method is for maps (--maps N)"),
        (["x", "--objects", "instances.json"], 2, "--objects is for maps (--maps N)"),
        (["x", "--maps", "1", "--map-method", "magic"], 2, "'magic' is not one of"),
        (["--words", "dog", "--concepts", "many"], 2, "whole numbers of at least 1"),
        (["--words", "dog", "--concepts", "0"], 2, "whole numbers of at least 1"),
        (["--words", "dog", "--methods", "magic"], 2, "'magic' is not one of"),
        (["--words", "dog", "--split", "nowhere"], 2, "no samples in split 'nowhere'"),
        (["nowhere"], 1, "There is no study at nowhere"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(run, world, tmp_path, arguments, code, message, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found, out, err = run(*arguments, "--data", world)
    assert (found, out) == (code, "")
    assert message in err


def test_a_scorer_that_is_none_is_named(study, world, monkeypatch, capsys):
    arguments = [str(study), "--data", str(world), "--image-scorer", "/nowhere"]
    monkeypatch.setattr(sys, "argv", ["vitrail", "evaluate", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert "could not be loaded as a scorer" in " ".join(capsys.readouterr().err.split())


def test_without_a_split_the_samples_that_the_study_did_not_learn_from_are_held_out(activations, world, tmp_path):
    folder = tmp_path / "pictures"
    shutil.copytree(world / "train2014", folder)
    for path in folder.glob("*.jpg"):
        path.with_suffix(".txt").write_text("a dog\n")
    learned = {load_samples(folder)[0].id, load_samples(folder)[3].id}
    seen = SimpleNamespace(sample_ids=lambda: sorted(learned))
    choice = EvaluatedData(data=str(folder))
    found = choice.of_study(seen, silent)
    assert {s.id for s in found.samples} - {s.id for s in found.test_samples} == learned
    assert found.test_from == f"the samples of {folder} that the study did not learn from"
    with pytest.raises(UsageError, match="no samples in split 'test'"):
        EvaluatedData(data=str(folder), split="test").of_study(seen, silent)
