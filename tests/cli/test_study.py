"""`vitrail study`, alone and stage by stage, and what it says to bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


def test_stage_by_stage_gives_what_study_gives(run, world: Path, tmp_path: Path) -> None:
    out = tmp_path / "s"
    options = ("--data", world, "--split", "train", "--word", "dog", "--require", "truth", "--device", "cpu")
    code, text, err = run("extract", *options, "--layers", "4,-1", "--out", out, "--json")
    assert code == 0, err
    extracted = json.loads(text)
    assert extracted["layers"] == [4, 8]
    assert extracted["scanned"] == 320
    assert extracted["kept"] == extracted["scanned"] - extracted["without_word"] > 20
    code, text, err = run("learn", out, "--layer", -1, "--concepts", 4, "--json")
    assert code == 0, err
    assert 0 < json.loads(text)["scores"]["explained_variance"] <= 1
    code, text, err = run("ground", out, "--words", 6, "--json")
    assert code == 0, err
    grounded = json.loads(text)
    assert [len(c["words"]) for c in grounded] == [6] * 4
    code, text, err = run("report", out, "--data", world, "--json")
    assert code == 0, err
    assert "<html" in Path(json.loads(text)["report"]).read_text(encoding="utf-8")


def test_results_for_people_are_readable(run, captioned, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d", 20)
    code, out, err = run(
        "study", "--data", data, "--word", "dog", "--concepts", 3, "--require", "truth", "--out", tmp_path / "s"
    )
    assert code == 0, err
    assert "16 of 16 samples" in out  # a fifth of them is held out
    assert "The report is" in out


def test_missing_data(run, tmp_path: Path) -> None:
    code, _, err = run("study", "--data", tmp_path / "no.json", "--word", "dog", "--out", tmp_path / "s")
    assert code == 1
    assert "no.json" in err


def test_empty_data(run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, _, err = run("study", "--data", tmp_path / "empty", "--word", "dog", "--out", tmp_path / "s")
    assert code == 1
    assert "empty" in err


def test_malformed_json_is_named_with_its_line(run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"images": [\n{"filename": }\n]}')
    code, _, err = run("study", "--data", bad, "--word", "dog", "--out", tmp_path / "s")
    assert code == 1
    assert "bad.json: malformed JSON: line 2, column 14" in err


def test_a_word_that_no_sample_has(run, captioned, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d", 3, word="sheep")
    code, _, err = run("study", "--data", data, "--word", "sheeps", "--out", tmp_path / "s")
    assert code == 1
    assert "sheeps" in err
    assert "sheep" in err.split("occur:")[1]


def test_more_concepts_than_samples(run, captioned, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d")
    code, _, err = run(
        "study", "--data", data, "--word", "dog", "--require", "truth", "--concepts", 50, "--out", tmp_path / "s"
    )
    assert code == 2
    assert "50 concepts need at least as many samples to learn from; 10 have 'dog'" in err


@pytest.mark.parametrize("layer", ["9", "-9", "last"])
def test_a_layer_that_does_not_exist(run, captioned, tmp_path: Path, layer: str) -> None:
    data = captioned(tmp_path / "d", 3)
    code, _, err = run(
        "study", "--data", data, "--word", "dog", "--concepts", 3, "--layer", layer, "--out", tmp_path / "s"
    )
    assert code == 2
    assert layer in err
    assert layer == "last" or "layers 0 to 8" in err


def test_a_model_that_is_not_image_text_to_text(run, captioned, tmp_path: Path) -> None:
    from transformers import BertConfig

    BertConfig().save_pretrained(tmp_path / "bert")
    data = captioned(tmp_path / "d", 3)
    code, _, err = run(
        "study", "--model", tmp_path / "bert", "--data", data, "--word", "dog", "--concepts", 3, "--out", tmp_path / "s"
    )
    assert code == 1
    assert "not an image-text-to-text model" in err
    assert "'bert'" in err


def test_a_path_that_is_neither_model_nor_hub_id(run, captioned, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d", 3)
    code, _, err = run(
        "study", "--model", "./no/such/model", "--data", data, "--word", "dog", "--concepts", 3, "--out", tmp_path / "s"
    )
    assert code == 1
    assert "./no/such/model is neither a model folder nor a model on the hub" in err
