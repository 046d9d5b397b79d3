"""LoReFT and DiReFT: trained by the loss of answers."""

from __future__ import annotations

import torch

from vitrail.finetuning import TrainingOptions
from vitrail.samples.examples import Example
from vitrail.steering import (
    TASKS,
    SteeringOptions,
    learn_from_answers,
    open_steering,
    steer,
)
from vitrail.trials import (
    say,
)

YES_NO = TASKS["yes-no"]


def test_an_answer_is_learned_by_loreft_and_comes_back_from_disk(lmm, asked, tmp_path):
    examples = [Example(s, "no") for s in asked[:24] if s.question_type == "yes/no"]
    fingerprint = lmm.describe().fingerprint
    made = learn_from_answers(
        lmm,
        examples,
        SteeringOptions(layers=(7,), rank=2),
        training=TrainingOptions(steps=8, batch_size=4, rate=3e-2),
        out=tmp_path / "r",
    )
    assert lmm.describe().fingerprint == fingerprint
    assert made.n_parameters == 2 * 2 * lmm.n_features + 2
    shown = [e.sample for e in examples]
    with steer(lmm, open_steering(tmp_path / "r").intervention()):
        assert say(lmm, shown, max_new_tokens=4) == ["no"] * len(shown)
    R = made.functions()[7].R
    torch.testing.assert_close(R @ R.T, torch.eye(2))
    assert not (tmp_path / "r" / "state.safetensors").exists()
