"""Batches: padding first, rows of one length, answers after prompts."""

from __future__ import annotations

import pytest
import torch

from vitrail.lmm import batches

T = torch.tensor


@pytest.fixture
def batch():
    """Two prompts of 2 and 3 tokens, the first padded; pixels; and a mask of patches that has the prompts' shape."""
    return {
        "input_ids": T([[0, 5, 6], [7, 8, 9]]),
        "attention_mask": T([[0, 1, 1], [1, 1, 1]]),
        "pixel_values": torch.ones(2, 3),
        "pixel_attention_mask": T([[1, 1, 0], [1, 1, 1]]),
    }


def test_padding_inside_a_prompt_goes_before_it(batch):
    batch |= {"input_ids": T([[5, 0, 6], [7, 8, 9]]), "attention_mask": T([[1, 0, 1], [1, 1, 1]])}
    moved = batches.padded_first(batch)
    assert moved["input_ids"].tolist() == [[0, 5, 6], [7, 8, 9]]
    assert moved["attention_mask"].tolist() == [[0, 1, 1], [1, 1, 1]]
    assert moved["pixel_attention_mask"] is batch["pixel_attention_mask"]


def test_answers_stand_after_prompts_and_are_padded_on_the_right(batch):
    longer = batches.extended(batch, [[1, 2], [3]], fill=4)
    assert longer["input_ids"].tolist() == [[0, 5, 6, 1, 2], [7, 8, 9, 3, 4]]
    assert longer["attention_mask"].tolist() == [[0, 1, 1, 1, 1], [1, 1, 1, 1, 0]]
    assert longer["pixel_values"] is batch["pixel_values"]
    assert longer["pixel_attention_mask"] is batch["pixel_attention_mask"]


@pytest.mark.parametrize("marked", [False, True])
def test_answers_are_marked_only_where_the_family_wants_it(batch, marked):
    batch["token_type_ids"] = torch.zeros(2, 3, dtype=torch.long)
    longer = batches.extended(batch, [[1, 2], [3, 4]], fill=0, marked=marked)
    assert longer["token_type_ids"].tolist() == [[0, 0, 0, int(marked), int(marked)]] * 2


def test_rows_of_one_length_lose_their_padding(batch):
    assert batches.of_equal_length(batch) == [[0], [1]]
    short = batches.without_padding(batch, [0])
    assert short["input_ids"].tolist() == [[5, 6]]
    assert short["pixel_attention_mask"].tolist() == [[1, 1, 0]]
