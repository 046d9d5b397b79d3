"""Batches are of similar shape, are halved when memory runs out, and give results in the order of the items."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
import torch

from vitrail.lmm.running import AHEAD, Batches, BatchSize, Group, halving, in_batches
from vitrail.samples import bounds


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


#: What a machine without memory says: an accelerator, Python, and the allocator of torch.
NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    MemoryError("of Python"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=repr)
@pytest.mark.parametrize("where", ["run", "load"])
def test_batches_that_follow_one_that_did_not_fit_are_as_small_as_what_did(error, where):
    sizes: dict[str, list[int]] = {"run": [], "load": []}

    def limited(step: str):
        def call(batch):
            sizes[step].append(len(batch))
            if step == where and len(batch) > 2:
                raise error
            return list(batch)

        return call

    how = Batches(limited("run"), BatchSize(8), ahead=0)
    [found] = how.through([Group(list(range(24)), limited("load"))])
    assert found == list(range(24))
    assert sizes[where].count(8) == 2  # the second was cut before memory ran out
    assert sizes[where][-4:] == [2] * 4
    assert how.size.most == 2


def test_an_error_that_is_not_about_memory_is_not_tried_again():
    calls = []

    def run(batch):
        calls.append(batch)
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="multiplied"):
        in_batches(run, [1, 2, 3], 3)
    assert len(calls) == 1


class Watched:
    """Loads and runs batches, and knows how many were loaded and not yet run at any time."""

    def __init__(self, pause: float = 0.0) -> None:
        self.loaded, self.waiting, self.most, self.threads = 0, 0, 0, set()
        self.guard, self.pause = threading.Lock(), pause

    def load(self, batch):
        with self.guard:
            self.loaded += 1
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            self.threads.add(threading.current_thread())
        time.sleep(self.pause * (batch[0] % 3))  # not in the order in which they began
        return list(batch)

    def run(self, batch):
        time.sleep(self.pause)
        with self.guard:
            self.waiting -= 1
        return [10 * item for item in batch]

    def groups(self):
        return [Group(range(i, i + n), self.load) for i, n in ((0, 7), (7, 0), (7, 1), (8, 6))]


def test_what_is_loaded_ahead_by_threads_is_what_is_loaded_in_turn():
    found = {}
    for ahead in (0, 1, AHEAD, 5):
        watched = Watched(0.002)
        found[ahead] = list(Batches(watched.run, BatchSize(2), ahead=ahead).through(watched.groups()))
        assert watched.most <= ahead + 1  # beside the one that the model works on
        assert (threading.main_thread() in watched.threads) == (ahead == 0)
    assert found[0] == [[10 * i for i in range(a, b)] for a, b in ((0, 7), (7, 7), (7, 8), (8, 14))]
    assert all(results == found[0] for results in found.values())


def test_batches_are_loaded_while_the_model_works_also_those_of_the_next_group():
    watched = Watched()
    arrived = threading.Event()

    def load(batch):
        if batch[0] == 2:
            arrived.set()
        return watched.load(batch)

    def run(batch):
        assert batch[0] != 0 or arrived.wait(20), "the next group is not loaded"
        return watched.run(batch)

    groups = [Group([0, 1], load), Group([2, 3], load)]
    assert list(Batches(run, BatchSize(2), ahead=AHEAD).through(groups)) == [[0, 10], [20, 30]]


def test_images_of_batches_ahead_have_no_more_pixels_than_those_of_two(monkeypatch):
    monkeypatch.setattr(bounds, "PIXELS", 10)
    watched = Watched(0.002)
    groups = [Group(range(12), watched.load)]
    [found] = Batches(watched.run, BatchSize(3), pixels=lambda i: 9, ahead=5).through(groups)
    assert found == [10 * i for i in range(12)]
    assert watched.most <= 3


def test_what_a_thread_stumbles_over_reaches_the_caller_and_nothing_more_is_loaded():
    watched = Watched()

    def load(batch):
        if batch[0] == 4:
            raise ValueError("sample 4: it is no image")
        return watched.load(batch)

    how = Batches(watched.run, BatchSize(1), ahead=AHEAD)
    with pytest.raises(ValueError, match="sample 4"), closing(how.through([Group(range(100), load)])) as results:
        list(results)
    assert 4 <= watched.loaded <= 4 + AHEAD


def test_a_stop_at_the_keyboard_ends_what_is_loaded_ahead():
    watched = Watched()

    def run(batch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Batches(run, BatchSize(1), ahead=AHEAD).through([Group(range(100), watched.load)]))
    for thread in watched.threads:
        thread.join(20)
        assert not thread.is_alive()
    assert watched.loaded <= 1 + AHEAD
