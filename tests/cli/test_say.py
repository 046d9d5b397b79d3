"""`vitrail say`, and what reads its texts: one word or many."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def data(captioned, tmp_path):
    return captioned(tmp_path / "d", 6)


def test_what_a_server_says_is_read_for_many_words_and_learned_from(run, data, serve, tmp_path, caplog):
    server = serve(lambda image, request, n: "a dog on the grass")
    code, out, err = run("say", "--endpoint", server.url, "--data", data, "--out", tmp_path / "t", "--json")
    assert code == 0, err
    assert json.loads(out)["said"] == 6
    assert "6 samples; batch size that of the server; up to 0.0 MB on disk, " in caplog.text  # before it began
    read = ("--data", data, "--said", tmp_path / "t", "--prompt", server.asked[0]["request"])
    code, out, err = run("extract", "--word", "dog,grass", *read, "--out", tmp_path / "s", "--json")
    assert code == 0, err
    assert json.loads(out)["words"] == {"dog": 6, "grass": 6}
    assert "up to 12 states; batch size 32; about 0." in caplog.text
    code, out, err = run("learn", tmp_path / "s", "--word", "grass", "--concepts", 2, "--stability", 0)
    assert code == 0, err
    assert f"{tmp_path}/s/words/grass/concepts" in out


def test_samples_that_are_left_out_are_listed(run, data, serve, tmp_path):
    (tmp_path / "d" / "3.png").write_bytes(b"not a picture")
    server = serve(lambda image, request, n: "a dog")
    code, out, err = run("say", "--endpoint", server.url, "--data", data, "--out", tmp_path / "t")
    assert code == 0, err
    assert "5 of 6 samples have a text" in out
    assert "left out: 3.png: " in out


def test_a_server_that_refuses_every_sample_is_an_error(run, data, serve, tmp_path):
    server = serve(lambda image, request, n: "a dog", refuse=lambda image: True)
    code, _, err = run("say", "--endpoint", server.url, "--data", data, "--out", tmp_path / "t")
    assert code == 1
    assert "Nothing was said of any of 6 samples; the first, 0.png" in err
    assert "this image is too small" in err


@pytest.mark.parametrize(
    ("word", "kept"),
    [("dog,grass", {"dog": 6, "grass": 6}), ("nouns", {"dog": 6, "grass": 6}), ("words.txt", {"hound": 6, "grass": 6})],
)
def test_many_words_are_named_by_commas_by_nouns_or_in_a_file(run, data, tmp_path, monkeypatch, word, kept):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("hound, dog, puppy\n\ngrass\n")
    arguments = ("--data", data, "--require", "truth", "--layers", 1, "--out", "s", "--json")
    arguments += ("--min-count", 6) if word == "nouns" else ()
    code, out, err = run("extract", "--word", word, *arguments)
    assert code == 0, err
    assert json.loads(out)["words"] == kept
