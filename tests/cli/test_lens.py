"""`vitrail lens`, and the commands that read words through one."""

from __future__ import annotations

import json
from pathlib import Path


def test_a_lens_is_fitted_shown_verified_and_read_through(run, captioned, tmp_path: Path) -> None:
    data, lens, study = captioned(tmp_path / "d"), tmp_path / "lens", tmp_path / "study"
    fitting = ("lens", "fit", "--data", data, "--layers", 5, "--rows", 0, "--out", lens)
    code, out, err = run(*fitting, "--json")
    assert code == 0, err
    fit = json.loads(out)["fit"]["5"]
    assert 0 <= fit["unembedding_agrees"] <= 1
    assert fit["error"] is None
    assert run(*fitting)[1].splitlines()[-1].startswith("On held-out samples.")
    code, out, _ = run("show", lens, "--json")
    assert code == 0
    (shown,) = json.loads(out)
    assert (shown["kind"], shown["parameters"]["method"], shown["model"]) == ("lens", "regression", "toyland, float32")
    assert run("verify", lens)[0] == 0
    asked = ("study", "--data", data, "--word", "dog", "--require", "truth", "--concepts", 3, "--out", study)
    code, _, err = run(*asked, "--lens", lens)
    assert (code, "is of layer 5, not of layer 8" in err) == (2, True)
    assert not (study / "activations").exists()  # before the long wait
    code, _, err = run(*asked, "--layer", 5, "--lens", lens)
    assert code == 0, err
    manifest = json.loads((study / "grounding" / "manifest.json").read_text())
    assert manifest["parameters"]["lens"] == str(lens)
    assert manifest["parents"]["lens"]["folder"] == "lens"
    code, _, err = run("ground", study, "--lens", tmp_path / "none")
    assert (code, "holds no lens" in err) == (1, True)
