"""Fine-tuning: what is trained, what is kept, what is refused."""

from __future__ import annotations

import dataclasses
import errno
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from vitrail.errors import ArtifactError, UsageError
from vitrail.finetuning import finetune, open_finetune
from vitrail.finetuning.run import linear_layers
from vitrail.finetuning.training import Training
from vitrail.lmm import load

pytest.importorskip("peft")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_fine_tune_keeps_the_doctors_certificate_of_its_base(tuned):
    found = tuned.manifest["doctor"]
    assert found["passed"]
    assert "blocks" in found["modules"]


def test_the_loss_falls_and_the_best_weights_are_kept(tuned):
    values = dict(tuned.loss.held_out)
    assert list(values) == [0, 2, 4]
    assert len(tuned.loss.training) == 4
    assert values[tuned.loss.best] == min(values.values()) < values[0]


def test_the_model_that_was_given_is_left_as_it_was(lmm, tuned):
    from vitrail.lmm import fingerprint

    assert fingerprint(lmm.model) == tuned.parameters["model"]["fingerprint"]
    assert not any(p.requires_grad for p in lmm.model.parameters())
    assert not any("lora" in name for name, _ in lmm.model.named_modules())
    assert not lmm.model.training


def test_the_decoders_linear_layers_are_trained_and_nothing_else(lmm, tuned):
    names = load_file(tuned.folder / "adapter_model.safetensors")
    assert len(names) == 8 * 7 * 2
    assert all("language_model.layers" in name for name in names)
    assert {t.dtype for t in names.values()} == {torch.float16}
    assert "q_proj" in linear_layers(lmm)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(lmm, examples, tuned, tmp_path, quick):
    again = finetune(lmm, examples, quick, out=tmp_path / "again")
    assert contents(again.folder) == contents(tuned.folder)
    other = finetune(lmm, examples, dataclasses.replace(quick, seed=1, steps=2), out=tmp_path / "other")
    file = "adapter_model.safetensors"
    assert (other.folder / file).read_bytes() != (tuned.folder / file).read_bytes()


def test_a_finished_fine_tune_is_opened_and_not_made_again(lmm, examples, tuned, monkeypatch, quick):
    monkeypatch.setattr(Training, "run", None)
    assert finetune(lmm, examples, quick, out=tuned.folder).loss == tuned.loss
    with pytest.raises(ArtifactError, match="rank is 2 there and 3 here"):
        finetune(lmm, examples, dataclasses.replace(quick, rank=3), out=tuned.folder)


def test_a_fine_tune_stopped_on_its_way_goes_on_to_the_same_end(lmm, examples, tuned, tmp_path, quick):
    def stop(_what, done, _total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(lmm, examples, quick, out=tmp_path / "stopped", progress=stop)
    assert not lmm.model.training
    with pytest.raises(ArtifactError, match="did not finish"):
        open_finetune(tmp_path / "stopped")
    steps = []
    finetune(lmm, examples, quick, out=tmp_path / "stopped", progress=lambda w, d, n: steps.append(d))
    assert steps == [3, 4]  # from the checkpoint after step 2
    assert contents(tmp_path / "stopped") == contents(tuned.folder)


def test_full_training_gives_a_model_that_loads(lmm, examples, tmp_path, quick):
    made = finetune(
        lmm, examples, dataclasses.replace(quick, method="full", steps=2, checkpoints=0), out=tmp_path / "full"
    )
    full = load(made.folder, device="cpu")
    changed = {
        name
        for (name, p), (_, q) in zip(lmm.model.named_parameters(), full.model.named_parameters(), strict=True)
        if not torch.equal(p, q)
    }
    assert len(changed) == 8 * 7
    assert all("language_model.layers" in name for name in changed)
    assert full.prompt == lmm.prompt


@pytest.mark.parametrize(
    "options", [{"method": "qlora"}, {"steps": 0}, {"rank": 0}, {"patience": 0}, {"checkpoints": -1}]
)
def test_parameters_that_cannot_be_are_refused(lmm, examples, tmp_path, options, quick):
    with pytest.raises(UsageError):
        finetune(lmm, examples, dataclasses.replace(quick, **options), out=tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_a_model_with_an_adapter_is_not_given_another(tuned, examples, tmp_path, quick):
    adapted = load("toyland", adapter=tuned.folder, device="cpu")
    with pytest.raises(UsageError, match="has the adapter"):
        finetune(adapted, examples, quick, out=tmp_path / "t")


def test_a_full_disk_is_named_and_the_run_goes_on_from_what_was_kept(
    lmm, examples, tuned, tmp_path, quick, monkeypatch
):
    from peft import PeftModel

    save, saved = PeftModel.save_pretrained, []

    def fills_the_disk(self, folder, **options):
        save(self, folder, **options)
        saved.append(Path(folder))
        if len(saved) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(PeftModel, "save_pretrained", fills_the_disk)
        with pytest.raises(ArtifactError, match=r"The disk is full: could not write .*step-00004\. .*finished is kept"):
            finetune(lmm, examples, quick, out=tmp_path / "t")
    assert [p.name for p in sorted((tmp_path / "t" / "checkpoints").iterdir())] == ["step-00002"]
    again = finetune(lmm, examples, quick, out=tmp_path / "t")
    same = [p.relative_to(tuned.folder) for p in tuned.folder.rglob("*.safetensors")]
    assert len(same) == 3
    for path in same:
        assert (again.folder / path).read_bytes() == (tuned.folder / path).read_bytes()
