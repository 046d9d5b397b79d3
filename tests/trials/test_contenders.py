"""Contenders: baselines and LoRA."""

from __future__ import annotations

import torch

from vitrail.artifacts import KeptParts
from vitrail.finetuning import TrainingOptions
from vitrail.steering import (
    TASKS,
)
from vitrail.trials import (
    say,
)
from vitrail.trials.contenders import baselines, trained_lora

YES_NO = TASKS["yes-no"]


def test_the_random_direction_is_as_long_as_the_vector_and_the_vector_is_there(lmm, asked, vector):
    prompt, random, mean = baselines(vector.only(6), 0.5)
    assert (prompt.asks, random.name, mean.name) == (True, "random direction", "mean")
    inputs = lmm.prepare([s.open() for s in asked[:2]], [s.question for s in asked[:2]])
    at = [inputs["input_ids"].shape[1] - 1] * 2
    plain = lmm.states(inputs, [()] * 2, at, [6])[6]
    moves = []
    for contender in (random, mean):
        with contender.under(lmm) as model:
            moves.append(model.states(inputs, [()] * 2, at, [6])[6] - plain)
    v = 0.5 * vector.only(6).directions[6]
    torch.testing.assert_close(moves[1], v.expand(2, -1), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(moves[0].norm(dim=1), v.norm().expand(2), rtol=1e-3, atol=1e-3)
    assert torch.cosine_similarity(moves[0], moves[1]).abs().max() < 0.3


def test_lora_of_the_same_budget_leaves_the_model_as_it_was(lmm, asked, tmp_path):
    before = lmm.describe()
    said = say(lmm, asked[:6], max_new_tokens=4)
    worn = trained_lora(lmm, YES_NO, asked[:40], 2052, TrainingOptions(3, 4, 5e-2), parts=KeptParts(tmp_path, {}))
    assert 1500 < worn.parameters <= 2052
    with worn.under(lmm) as pupil:
        assert pupil.model is not lmm.model
        changed = say(pupil, asked[:6], max_new_tokens=4)
    assert lmm.describe() == before
    assert not any(p.requires_grad for p in lmm.model.parameters())
    assert say(lmm, asked[:6], max_new_tokens=4) == said
    assert len(changed) == 6
