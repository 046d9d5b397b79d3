"""`vitrail ground`."""

from __future__ import annotations

from pathlib import Path


def test_an_artifact_made_by_another_model(run, captioned, tmp_path: Path) -> None:
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
    assert "n_blocks is 8 there and 5 here" in err
