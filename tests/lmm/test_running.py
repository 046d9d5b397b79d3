"""Batches are of similar shape, are halved when memory runs out, and give results in the order of the items."""

from __future__ import annotations

import pytest
import torch

from vitrail.lmm.running import halving, in_batches


def test_a_single_sample_that_does_not_fit_is_an_error():
    def never(batch):
        raise torch.OutOfMemoryError(f"of {len(batch)}")

    with pytest.raises(torch.OutOfMemoryError, match="of 1"):
        halving(never, [1, 2, 3])


def test_batches_are_of_like_shape_and_the_order_stays():
    batches, told = [], []

    def run(batch: list[int]) -> list[int]:
        batches.append(list(batch))
        return [10 * item for item in batch]

    assert in_batches(run, [3, 1, 3, 1, 2, 3], 2, shape=lambda item: item, step=told.append) == [30, 10, 30, 10, 20, 30]
    assert batches == [[1, 1], [2, 3], [3, 3]]
    assert told == [2, 4, 6]


def test_halving_keeps_the_order_and_every_one_once():
    def three_at_most(batch):
        if len(batch) > 3:
            raise torch.OutOfMemoryError
        return list(batch)

    assert halving(three_at_most, list(range(11))) == list(range(11))
