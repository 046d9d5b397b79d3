"""`vitrail extract`: images that cannot be read, states that are not finite, folders that are not free."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image


def test_unreadable_images_are_skipped_counted_and_listed(run, captioned, tmp_path: Path) -> None:
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
    assert "12 samples from a JSONL file; 12 with captions (from caption); 0 with a question; 12 of 12 images" in err
    read = json.loads((tmp_path / "s" / "activations" / "manifest.json").read_text())["data"]
    assert (read["samples"], read["captioned"], read["columns"]["captions"], read["found"]) == (12, 12, "caption", 12)


def test_no_readable_image_is_an_error(run, captioned, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d", 3)
    for i in range(3):
        (tmp_path / "d" / f"{i}.png").write_bytes(b"")
    code, _, err = run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")
    assert code == 1
    assert "None of 3 images could be read" in err


def test_a_decompression_bomb_is_not_opened(run, captioned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = captioned(tmp_path / "d", 1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    code, _, err = run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")
    assert code == 1
    assert "DecompressionBombError" in err


def test_states_that_are_not_finite(run, captioned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vitrail.lmm import LMM

    states = LMM.states
    monkeypatch.setattr(
        LMM, "states", lambda *a, **k: {layer: t * float("nan") for layer, t in states(*a, **k).items()}
    )
    data = captioned(tmp_path / "d", 3)
    code, _, err = run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")
    assert code == 1
    assert "not finite" in err


def test_a_full_disk(run, captioned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("vitrail.activations.store.save_file", full)
    data = captioned(tmp_path / "d", 3)
    code, _, err = run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")
    assert code == 1
    assert "The disk is full" in err
    assert not list((tmp_path / "s").rglob("*.partial"))


def test_an_output_folder_of_another_study(run, captioned, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d")
    options = ("extract", "--data", data, "--require", "truth", "--out", tmp_path / "s")
    assert run(*options, "--word", "dog")[0] == 0
    code, _, err = run(*options, "--word", "grass")
    assert code == 1
    assert "belongs to another run" in err
    assert '"dog"' in err
    assert '"grass"' in err


@pytest.mark.parametrize(
    ("asked", "rows", "says"),
    [
        (["--read-at", "answer", "--layers", "3"], 3, "3 of 3 samples have the word; their states are in"),
        (["--read-at", "question:-1"], 3, "3 of 3 samples have the word; their states are in"),
        (["--layers", "vision.encoder.layers.1,2"], 3, "3 of 3 samples have the word; their states are in"),
        (
            ["--layers", "connector", "--read-at", "patches"],
            192,
            "3 of 3 samples have the word; their 192 states are in",
        ),
    ],
)
def test_states_of_several_positions_and_of_the_image(run, captioned, tmp_path: Path, asked, rows, says) -> None:
    from vitrail.activations import open_activations

    common = ("--data", captioned(tmp_path / "d", 3), "--word", "dog", "--require", "truth", "--out", tmp_path / "s")
    code, out, err = run("extract", *common, *asked)
    assert code == 0, err
    assert says in out
    assert len(open_activations(tmp_path / "s" / "activations")) == rows


def test_answers_that_are_too_short_are_counted(run, captioned, tmp_path: Path) -> None:
    common = ("--data", captioned(tmp_path / "d", 3), "--word", "dog", "--require", "truth", "--out", tmp_path / "s")
    code, _, err = run("extract", *common, "--read-at", "answer:40")
    assert code == 1
    assert "None of 3 answers with 'dog' has the positions 'answer:40'" in err


def test_data_of_which_nobody_said_anything_are_an_error_or_a_warning(tmp_path, caplog):
    from vitrail.errors import DataError
    from vitrail.extraction.checks import candidates
    from vitrail.samples import load_samples
    from vitrail.words import Word

    Image.new("RGB", (8, 6)).save(tmp_path / "1.png")
    (tmp_path / "d.jsonl").write_text('{"image": "1.png", "sprache": "ein Hund"}')
    samples = load_samples(tmp_path / "d.jsonl")
    with pytest.raises(
        DataError, match=r"None of the 1 samples has a caption .* not read: sprache; .* --caption-column"
    ):
        candidates(samples, Word("dog"))
    assert candidates(samples, Word("dog"), "predicted") == samples
    assert "None of the 1 samples has a caption" in caplog.text
