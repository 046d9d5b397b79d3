"""`vitrail learn`: artifacts that cannot be read, and sweeps."""

from __future__ import annotations

import json
from pathlib import Path

from tests.resealing import reseal
from tests.stored_states import representations, stored


def test_a_damaged_shard(run, captioned, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d")
    assert run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")[0] == 0
    shard = tmp_path / "s" / "activations" / "part-00000.safetensors"
    shard.write_bytes(shard.read_bytes()[:-100])
    code, _, err = run("learn", tmp_path / "s", "--concepts", 3)
    assert code == 1
    assert "part-00000.safetensors is damaged" in err


def test_a_newer_schema(run, captioned, tmp_path: Path) -> None:
    data = captioned(tmp_path / "d")
    assert run("extract", "--data", data, "--word", "dog", "--require", "truth", "--out", tmp_path / "s")[0] == 0
    path = tmp_path / "s" / "activations" / "manifest.json"
    reseal(path, schema=99)
    code, _, err = run("learn", tmp_path / "s")
    assert code == 1
    assert "schema 99" in err
    assert "up to 2" in err


def test_the_command_line_sweeps_without_a_model(run, tmp_path):
    stored(tmp_path / "activations", representations(40), (40,))
    asked = ["learn", tmp_path, "--sweep", "--try-concepts", "2,3", "--try-penalties", "0.5", "--no-words"]
    code, out, err = run(*asked, "--json")
    assert code == 0, err
    assert [t["n_concepts"] for t in json.loads(out)["tried"]] == [2, 3]
    assert (tmp_path / "sweep" / "sweep.svg").exists()
    assert not (tmp_path / "concepts").exists()
    code, _, err = run(*asked[:3], "--no-words", "--try-concepts", "2,many")
    assert code == 2
    assert "Invalid value for '--try-concepts'" in err
    assert "got 'many'" in err


def test_the_command_line_chooses_the_number_of_concepts_and_says_why(run, tmp_path):
    stored(tmp_path / "activations", representations(90), (90,))
    asked = ["learn", tmp_path, "--concepts", "auto", "--penalty", 0.1, "--stability", 1, "--no-words"]
    code, out, err = run(*asked)
    assert code == 0, err
    assert "Why so many: K = 10, λ = 0.1: its concepts explain" in out
    assert (tmp_path / "sweep" / "sweep.svg").exists()
    code, out, err = run(*asked, "--json")
    assert code == 0, err
    assert json.loads(out)["choice"]["chosen"]["n_concepts"] == 10
