"""The command line: what it prints, and what it says to bad input. Never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from vitrail.toyland.draw import draw
from vitrail.toyland.world import scene


def captioned(folder: Path, n: int = 12, word: str = "dog") -> Path:
    """A JSONL of `n` pictures of Toyland whose caption has `word`."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i in range(n):
        draw(scene(i)).save(folder / f"{i}.png")
        lines.append(json.dumps({"image": f"{i}.png", "caption": f"a {word} in the grass"}))
    path = folder / "data.jsonl"
    path.write_text("\n".join(lines))
    return path


# ---- what works ------------------------------------------------------------------------------------------------------


def test_help_names_every_command(run) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(c in out for c in ("study", "demo", "extract", "learn", "ground", "explain", "report", "toyland"))


def test_the_version_is_the_installed_one(run) -> None:
    from importlib.metadata import version

    assert run("--version")[1].strip() == version("vitrail")


def test_toyland_is_written(run, tmp_path: Path) -> None:
    code, out, _ = run("toyland", "--out", tmp_path / "t", "--samples", 20, "--seed", 4, "--json")
    assert code == 0
    assert json.loads(out) == {"folder": str(tmp_path / "t"), "samples": 20, "seed": 4}
    assert len(list((tmp_path / "t").rglob("*.jpg"))) == 20


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


def test_results_for_people_are_readable(run, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d", 20)
    code, out, err = run(
        "study", "--data", data, "--word", "dog", "--concepts", 3, "--require", "truth", "--out", tmp_path / "s"
    )
    assert code == 0, err
    assert "16 of 16 samples" in out  # a fifth of them is held out
    assert "The report is" in out


# ---- bad input -------------------------------------------------------------------------------------------------------


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
    assert "bad.json: malformed JSON at line 2, column 14" in err


def test_unreadable_images_are_skipped_counted_and_listed(run, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d")
    (tmp_path / "d" / "3.png").write_bytes(b"not a picture")
    whole = (tmp_path / "d" / "5.png").read_bytes()
    (tmp_path / "d" / "5.png").write_bytes(whole[: len(whole) // 2])
    code, out, err = run(
        "extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s", "--json"
    )
    assert code == 0, err
    found = json.loads(out)
    assert found["kept"] == 10
    assert [sample for sample, _ in found["unreadable"]] == ["3.png", "5.png"]


def test_no_readable_image_is_an_error(run, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d", 3)
    for i in range(3):
        (tmp_path / "d" / f"{i}.png").write_bytes(b"")
    code, _, err = run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")
    assert code == 1
    assert "None of 3 images could be read" in err


def test_a_decompression_bomb_is_not_opened(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = captioned(tmp_path / "d", 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    code, _, err = run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")
    assert code == 1
    assert "DecompressionBombError" in err


def test_a_word_that_no_sample_has(run, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d", 3, word="sheep")
    code, _, err = run("study", "--data", data, "--word", "sheeps", "--out", tmp_path / "s")
    assert code == 1
    assert "sheeps" in err
    assert "sheep" in err.split("occur:")[1]


def test_more_concepts_than_samples(run, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d")
    code, _, err = run(
        "study", "--data", data, "--word", "dog", "--require", "truth", "--concepts", 50, "--out", tmp_path / "s"
    )
    assert code == 2
    assert "Cannot learn 50 concepts from 10 samples" in err


@pytest.mark.parametrize("layer", ["9", "-9", "last"])
def test_a_layer_that_does_not_exist(run, tmp_path: Path, layer: str) -> None:
    data = captioned(tmp_path / "d", 3)
    code, _, err = run("study", "--data", data, "--word", "dog", "--layer", layer, "--out", tmp_path / "s")
    assert code == 2
    assert layer in err
    assert layer == "last" or "layers 0 to 8" in err


def test_states_that_are_not_finite(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitrail.lmm import LMM

    states = LMM.states
    monkeypatch.setattr(
        LMM, "states", lambda *a, **k: {layer: t * float("nan") for layer, t in states(*a, **k).items()}
    )
    data = captioned(tmp_path / "d", 3)
    code, _, err = run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")
    assert code == 1
    assert "not finite" in err


def test_a_model_that_is_not_image_text_to_text(run, tmp_path: Path) -> None:
    from transformers import BertConfig

    BertConfig().save_pretrained(tmp_path / "bert")
    data = captioned(tmp_path / "d", 3)
    code, _, err = run("study", "--model", tmp_path / "bert", "--data", data, "--word", "dog", "--out", tmp_path / "s")
    assert code == 1
    assert "not an image-text-to-text model" in err
    assert "'bert'" in err


def test_a_path_that_is_neither_model_nor_hub_id(run, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d", 3)
    code, _, err = run("study", "--model", "./no/such/model", "--data", data, "--word", "dog", "--out", tmp_path / "s")
    assert code == 1
    assert "./no/such/model is neither a model folder nor a model on the hub" in err


def test_a_full_disk(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vitrail.activations.save_file", full)
    data = captioned(tmp_path / "d", 3)
    code, _, err = run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")
    assert code == 1
    assert "The disk is full" in err
    assert not list((tmp_path / "s").rglob("*.partial"))


def test_an_output_folder_of_another_study(run, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d")
    options = ("extract", "--data", data, "--require", "truth", "--out", tmp_path / "s")
    assert run(*options, "--word", "dog")[0] == 0
    code, _, err = run(*options, "--word", "grass")
    assert code == 1
    assert "belongs to another run" in err
    assert '"dog"' in err
    assert '"grass"' in err


def test_an_artifact_made_by_another_model(run, tmp_path: Path) -> None:
    from tools.toyland import build
    from tools.toyland.train import save_half

    from vitrail import toyland

    data = captioned(tmp_path / "d")
    assert run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")[0] == 0
    assert run("learn", tmp_path / "s", "--concepts", 3)[0] == 0
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    other = LlavaForConditionalGeneration.from_pretrained(toyland.model_path())
    other.config.text_config.num_hidden_layers = 5
    smaller = LlavaForConditionalGeneration(other.config)
    save_half(smaller, AutoProcessor.from_pretrained(toyland.model_path()), tmp_path / "other")
    assert smaller.config.text_config.vocab_size == build.VOCABULARY
    code, _, err = run("ground", tmp_path / "s", "--model", tmp_path / "other")
    assert code == 1
    assert "was made by the model 'toyland'" in err
    assert "n_blocks: 8 there, 5 here" in err


def test_a_damaged_shard(run, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d")
    assert run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")[0] == 0
    shard = tmp_path / "s" / "activations" / "part-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    code, _, err = run("learn", tmp_path / "s", "--concepts", 3)
    assert code == 1
    assert "part-00000.safetensors is damaged" in err


def test_a_newer_schema(run, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d")
    assert run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")[0] == 0
    path = tmp_path / "s" / "activations" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    code, _, err = run("learn", tmp_path / "s")
    assert code == 1
    assert "schema 99" in err
    assert "up to 1" in err


def test_a_study_that_is_not_there(run, tmp_path: Path) -> None:
    code, _, err = run("explain", tmp_path / "none", tmp_path / "x.png")
    assert code == 1
    assert "There is no study at" in err


def test_a_missing_option_is_a_matter_of_usage(run, tmp_path: Path) -> None:
    code, _, err = run("study", "--out", tmp_path / "s")
    assert code == 2
    assert "--word" in err


def test_an_unknown_option_is_refused(run, tmp_path: Path) -> None:
    assert run("study", "--word", "dog", "--out", tmp_path / "s", "--lambda", 3)[0] == 2


def test_ctrl_c_says_how_to_go_on(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vitrail.toyland.dataset.write_dataset", stop)
    code, _, err = run("toyland", "--out", tmp_path / "t")
    assert code == 130
    assert "goes on where it stopped" in err


def test_our_own_faults_are_one_line_too(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("something [odd] happened")

    monkeypatch.setattr("vitrail.toyland.dataset.write_dataset", broken)
    code, _, err = run("toyland", "--out", tmp_path / "t")
    assert code == 1
    assert "RuntimeError: something [odd] happened" in err


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vitrail.cli", "--debug", "explain", str(tmp_path / "none"), "x.png"],
        capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" in done.stderr
