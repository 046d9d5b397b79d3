"""The time of generation under several contenders, taken in turns."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from vitrail.artifacts import typed
from vitrail.lmm import LMM
from vitrail.lmm.parts import speaker
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.scores import Estimate, median_estimate
from vitrail.steering.tasks import Task
from vitrail.trials.contenders import Contender


@dataclass(frozen=True)
class Speed:
    """The time of generation.

    Args:
        per_token: seconds, the median over the repeats.
        added: seconds per token more than without steering, the median over the turns.
        share: the same as a share of the time without steering: the median and its 95 % interval.
    """

    per_token: float
    added: float
    share: Estimate

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        s = self.share
        share = {"median": s.mean, "low": s.low, "high": s.high, "n": s.n}
        return {"per_token": self.per_token, "added": self.added, "share": share}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Speed:
        """The speed whose `as_dict` is `values`."""
        share = {**values["share"], "mean": values["share"]["median"], "std": None}
        return cls(typed(values["per_token"], float), typed(values["added"], float), typed(share, Estimate))


def speeds(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    contenders: Sequence[Contender],
    *,
    repeats: int = 15,
    n_tokens: int = 16,
    rows: int = 8,
    progress: Progress = silent,
) -> dict[int, Speed]:
    """The time that each contender takes to say `n_tokens` tokens of `rows` samples, by its place in `contenders`.

    They take turns, forwards and backwards, and each is compared with the first (no steering) in the same turn, so that
    other work on the machine slows all of them alike. All say as many tokens: none may end early. The time to begin and
    to end a steering is not counted; that to ask for the task in a prompt is.
    """
    some = list(samples[:rows])
    seconds = np.zeros((repeats, len(contenders)))
    order = list(range(len(contenders)))
    with _never_ending(lmm, n_tokens):
        for turn in range(-1, repeats):  # the first turn is a rehearsal
            for place in order if turn % 2 else reversed(order):
                seconds[max(turn, 0), place] = _seconds(lmm, task, some, contenders[place], n_tokens)
            progress("time", turn + 1, repeats)
    per_token = seconds / (len(some) * n_tokens)
    return {
        place: Speed(
            float(np.median(per_token[:, place])),
            float(np.median(per_token[:, place] - per_token[:, 0])),
            median_estimate(per_token[:, place] / per_token[:, 0] - 1),
        )
        for place in order
    }


def _seconds(lmm: LMM, task: Task, samples: Sequence[Sample], contender: Contender, n_tokens: int) -> float:
    """The time of one generation."""
    with contender.under(lmm) as model:
        inputs = model.prepare_samples(contender.requests(task, samples))
        start = time.perf_counter()
        model.generate(inputs, n_tokens)
        return time.perf_counter() - start


@contextmanager
def _never_ending(lmm: LMM, n_tokens: int) -> Iterator[None]:
    """Within the block, every answer has at least `n_tokens` tokens."""
    settings = speaker(lmm.model).generation_config
    before = settings.min_new_tokens
    settings.min_new_tokens = n_tokens
    try:
        yield
    finally:
        settings.min_new_tokens = before
