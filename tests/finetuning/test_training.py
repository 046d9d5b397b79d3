"""The training loop: what is held out, and the order of the batches."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from vitrail.errors import DataError, NumericsError
from vitrail.finetuning import TrainingOptions, finetune
from vitrail.finetuning.forcing import count_tokens, teacher_forced
from vitrail.finetuning.training import Training, split_examples

pytest.importorskip("peft")


def test_held_out_examples_share_no_sample_with_those_learned_from(examples):
    doubled = [*examples, *examples]
    learned_from, held_out = split_examples(doubled, seed=0)
    assert not {e.sample.id for e in learned_from} & {e.sample.id for e in held_out}
    assert len(learned_from) + len(held_out) == len(doubled)
    assert len({e.sample.id for e in held_out}) == 2
    with pytest.raises(DataError, match="two samples or more"):
        split_examples(examples[:1], seed=0)


def test_every_example_comes_once_in_each_epoch(lmm, examples, tmp_path):
    training = Training(
        lmm, {"p": torch.nn.Parameter(torch.zeros(1))}, examples[:9], TrainingOptions(10, 4, 1.0), tmp_path
    )
    batches = [training._batch(step) for step in range(4)]
    ids = [[e.sample.id for e in (*batches[i], *batches[i + 1])] for i in (0, 2)]
    assert sorted(ids[0]) == sorted(ids[1]) == sorted(e.sample.id for e in training.examples)
    assert ids[0] != ids[1]


def test_a_loss_that_is_not_finite_is_an_error(lmm, examples, tmp_path, monkeypatch, quick):
    monkeypatch.setattr(Training, "_loss", lambda self, batch: (torch.tensor(float("nan")), 1))
    with pytest.raises(NumericsError, match="The loss of step 0 is nan"):
        finetune(lmm, examples, quick, out=tmp_path / "t")


def test_training_stops_when_the_held_out_loss_no_longer_falls(lmm, examples, tmp_path, quick):
    hasty = dataclasses.replace(quick, steps=20, measure_every=1, checkpoints=0, rate=0.3, patience=2)
    made = finetune(lmm, examples[:12], hasty, out=tmp_path / "t")
    assert made.loss.stopped
    assert len(made.loss.training) < 20
    assert made.loss.best == 0 <= len(made.loss.training) - 2
    weights = load_file(made.folder / "adapter_model.safetensors")
    assert not any(t.any() for name, t in weights.items() if "lora_B" in name)  # those of the best step: as at first


def test_images_are_decoded_within_bounds_and_the_gradients_of_the_parts_add_up(
    lmm, examples, tuned, tmp_path, quick, monkeypatch
):
    sizes = []

    def counted(lmm, part):
        sizes.append(len(part))
        return teacher_forced(lmm, part)

    monkeypatch.setattr("vitrail.samples.bounds.PIXELS", 1)
    monkeypatch.setattr("vitrail.finetuning.training.teacher_forced", counted)
    made = finetune(lmm, examples, quick, out=tmp_path / "t")
    assert set(sizes) == {1}
    assert sum(sizes) > 2 * quick.steps
    assert made.loss.training == pytest.approx(tuned.loss.training, rel=1e-2)  # bfloat16, in other shapes
    assert made.loss.lowest == pytest.approx(tuned.loss.lowest, rel=1e-2)


@pytest.mark.parametrize("n", [1, 5])
def test_the_tokens_of_answers_are_counted_as_the_loss_counts_them(lmm, examples, n):
    assert count_tokens(lmm, examples[:n]) == len(teacher_forced(lmm, examples[:n]).predictions(lmm).targets)
