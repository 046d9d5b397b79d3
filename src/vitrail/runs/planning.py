"""What a run will take: the run itself is rehearsed on its first samples, into a folder that is removed again.

    vitrail.plan(lambda some, out: vitrail.extract(lmm, some, "dog", out=out), samples, device=lmm.device)

It is rehearsed twice, on a few samples and on twice as many. What both have in common is what the run costs once (the
doctor, a page); the difference is what more samples cost. Time and disk are a line through these two, and memory is the
peak of the larger one: how much is needed at a time depends on batches and images, not on how many samples there are.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch

from vitrail.artifacts import same_volume_free
from vitrail.errors import DataError, UsageError
from vitrail.lmm.sizing import Used, measuring, memory_left
from vitrail.notebook import Shown, View

T = TypeVar("T")

#: How many items the first rehearsal has, unless more are asked for.
FIRST = 32


@dataclass(frozen=True)
class Plan(Shown):
    """What a run will take, an estimate.

    Args:
        n: how many items it has.
        items: what these are.
        seconds: from its first line to its last, after the model was loaded.
        disk: bytes that it writes.
        memory: bytes at its peak beside what is loaded already, where the model is; None where that is not known.
        seconds_once: what of the time does not depend on the number of items.
        disk_free: bytes that are free where it writes.
        memory_free: bytes that are free where the model is; None where that is not known.
        batch_size: items in a batch; None where a run has no batches.
        basis: what the estimate comes from.
    """

    n: int
    items: str
    seconds: float
    disk: int
    memory: int | None
    seconds_once: float
    disk_free: int
    memory_free: int | None
    batch_size: int | None
    basis: str

    @property
    def fits(self) -> bool:
        """Whether disk and memory are enough."""
        return self.disk <= self.disk_free and (self.memory or 0) <= (self.memory_free or math.inf)

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "fits": self.fits}

    def _shown(self) -> View:
        memory = None if self.memory is None else f"{self.memory / 1e9:.3g} GB"
        rows = (("time", f"{self.seconds:.3g} s"), ("disk", f"{self.disk / 1e9:.3g} GB"), ("memory", memory))
        fits = "Disk and memory are enough." if self.fits else "Disk or memory is not enough."
        return View("Plan", f"for {self.n} {self.items}", rows=rows, notes=(fits, self.basis))


def plan(
    run: Callable[[Sequence[T], Path], object],
    items: Sequence[T],
    *,
    out: str | Path = ".",
    first: int | None = None,
    device: torch.device | str = "cpu",
    batch_size: int | None = None,
    what: str = "samples",
) -> Plan:
    """What `run(items, out)` will take, from two rehearsals on the first items, in a folder that is removed again.

    Args:
        run: is given some of the items, and the folder to write; it writes nowhere else.
        items: all of them: samples, words, steps.
        out: where the run will write; nothing is written there now.
        first: how many items the first rehearsal has: a batch for None. Where they are too few for the run, it has
            twice as many.
        device: where the model is: the memory is measured there.
        batch_size: items in a batch.
        what: what the items are.

    Raises:
        UsageError: there are no items.
    """
    if not items:
        raise UsageError(f"There are no {what} to plan for.")
    device = torch.device(device)
    n, small = _tried(run, items, min(first or batch_size or FIRST, len(items)), device)
    twice = min(2 * n, len(items))
    large = small if twice == n else _rehearsal(run, items[:twice], device)
    more = len(items) - twice
    each = max(0.0, large.used.seconds - small.used.seconds) / max(twice - n, 1)
    if twice > n and each * twice < 0.1 * large.used.seconds:  # lost in the noise: at most what it took altogether
        each = large.used.seconds / twice
    disk_each = max(0, large.disk - small.disk) / max(twice - n, 1)
    done = "all" if twice == len(items) else f"the first {twice}"
    basis = f"the run on {done} of {len(items)} {what}" if len(items) > 1 else "the whole run"
    return Plan(
        n=len(items),
        items=what,
        seconds=large.used.seconds + each * more,
        disk=large.disk + math.ceil(disk_each * more),
        memory=large.used.memory or None,
        seconds_once=max(0.0, large.used.seconds - each * twice),
        disk_free=same_volume_free(Path(out)),
        memory_free=memory_left(device),
        batch_size=batch_size,
        basis=basis,
    )


@dataclass(frozen=True)
class _Rehearsal:
    """What a rehearsal took, and the bytes that it wrote."""

    used: Used
    disk: int


def _tried(
    run: Callable[[Sequence[T], Path], object], items: Sequence[T], n: int, device: torch.device
) -> tuple[int, _Rehearsal]:
    """How many items the smallest rehearsal has that the run does not refuse, and what it took."""
    while True:
        try:
            return n, _rehearsal(run, items[:n], device)
        except (DataError, UsageError):  # the run itself will say it, if all items are too few
            if n == len(items):
                raise
        n = min(2 * n, len(items))


def _rehearsal(run: Callable[[Sequence[T], Path], object], some: Sequence[T], device: torch.device) -> _Rehearsal:
    with TemporaryDirectory(prefix="vitrail-plan-") as home, _quietly():
        out = Path(home) / "run"
        with measuring(device) as used:
            run(some, out)
        return _Rehearsal(used, sum(p.stat().st_size for p in out.rglob("*") if p.is_file() and not p.is_symlink()))


@contextmanager
def _quietly() -> Iterator[None]:
    """What a rehearsal would say, nobody is told."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
