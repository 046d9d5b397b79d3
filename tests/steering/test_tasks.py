"""Tasks: their examples, and the rest of a text."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vitrail.errors import DataError
from vitrail.steering import (
    TASKS,
    AnswerTask,
    until_said,
)

YES_NO = TASKS["yes-no"]


def test_tasks_find_their_examples(asked, samples):
    for name, task in TASKS.items():
        from_here = asked if isinstance(task, AnswerTask) else samples
        assert task.toward(from_here), name
        assert task.away(from_here), name
    removal = TASKS["neutral"]
    assert not any(removal.mentions(e.answer) for e in removal.toward(samples))
    one = replace(samples[0], references=("a Man sees two ladies", "a kid", "a kid and kids", "a child"))
    assert [e.answer for e in removal.taught([one])] == ["a kid", "a kid and kids", "a child", "a kid sees two kids"]
    with pytest.raises(DataError, match="No sample has an answer that"):
        YES_NO.toward(samples)


def test_until_said_ends_with_the_first_mention(lmm, samples):
    from vitrail.lmm.positions import Follower

    until = until_said(lmm, TASKS["colour"])
    ids = lmm.tokenizer.encode(" a red dog", add_special_tokens=False)
    prompt = {"input_ids": torch.tensor([[5, 6]]), "attention_mask": torch.ones(1, 2, dtype=torch.long)}
    follower = Follower({lmm.tokenizer.eos_token_id}, ())
    follower.see(prompt)
    found = [follower.now.mask(until).tolist()]
    for n, token in enumerate(ids):
        follower.see({"input_ids": torch.tensor([[token]]), "attention_mask": torch.ones(1, 3 + n)})
        found.append(follower.now.mask(until).tolist())
    assert found[0] == [[False, True]]
    said = [lmm.tokenizer.decode([i]).strip() for i in ids].index("red")
    assert [f[0][0] for f in found[1:]] == [i < said for i in range(len(ids))]
