"""What is said of the same samples at several strengths, and what it cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vitrail.lmm import LMM
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.scores import Estimate, Verdict, estimate, paired_p, verdicts
from vitrail.steering.apply import steer
from vitrail.steering.artifact import Steering
from vitrail.steering.options import Application
from vitrail.steering.tasks import Task
from vitrail.trials.judge import staying, worked
from vitrail.trials.losses import LossMeter, TextLoss
from vitrail.trials.texts import say


@dataclass(frozen=True)
class Level:
    """What was said at one strength.

    Args:
        alpha: the strength; 0 is the unsteered model.
        texts: one for each sample.
        loss: what the texts lost.
        wanted: share of the texts that are as the task wants, of those that count (`Task.counts`); None without a task.
        effect: whether more of them are as wanted than without steering, by random changes of sign; None without a
            task.
        changed: how many positions were changed.
        passes: in how many forward passes.
    """

    alpha: float
    texts: tuple[str, ...]
    loss: TextLoss
    wanted: Estimate | None = None
    effect: Verdict | None = None
    changed: int = 0
    passes: int = 0

    @property
    def counted(self) -> str:
        """The share of texts as wanted and their number, "75% (18 of 24)"; empty where nothing counts."""
        if self.wanted is None or not self.wanted.n:
            return ""
        return f"{self.wanted.mean:.0%} ({round(self.wanted.mean * self.wanted.n)} of {self.wanted.n})"

    def __str__(self) -> str:
        """The texts as wanted, where a task says which, and never without what the texts lost."""
        if not self.counted or self.effect is None:
            return str(self.loss)
        return f"{self.counted} as wanted, {self.effect.text}; {self.loss}"


def say_at_strengths(
    lmm: LMM,
    steering: Steering,
    samples: Sequence[Sample],
    strengths: Iterable[float],
    application: Application | None = None,
    *,
    task: Task | None = None,
    batch_size: int = 32,
    progress: Progress = silent,
) -> list[Level]:
    """What `lmm` says of `samples` without steering and at each of `strengths`, from the smallest to the largest.

    Args:
        application: where the steering is applied, and whether norms are kept; its own strength does not count.
        task: its longest text; and the texts that are as it wants are counted.

    Raises:
        UsageError: a strength that is no number, `keep_norm` for a learned function, or guarded vectors of several
            layers.
    """
    application = application or Application()
    edits = {a: steering.applied(replace(application, alpha=a)) for a in sorted({*strengths} - {0.0})}
    limit = 40 if task is None else task.max_new_tokens
    before = say(lmm, samples, max_new_tokens=limit, batch_size=batch_size, progress=progress)
    meter = LossMeter(samples, before, lmm, batch_size, staying(task, before))

    def wanted(said: Sequence[str]) -> tuple[Estimate | None, Verdict | None]:
        if task is None:
            return None, None
        now, was = worked(task, said, before), worked(task, before, before)
        gain = float(np.nanmean(now - was)) if np.isfinite(was).any() else float("nan")
        return estimate(now), verdicts.against(gain, paired_p(now, was), "no steering")

    found = [Level(0.0, tuple(before), meter.loss(before), *wanted(before))]
    for alpha, edit in edits.items():
        with steer(lmm, edit) as done:
            said = say(lmm, samples, max_new_tokens=limit, batch_size=batch_size)
        found.append(Level(alpha, tuple(said), meter.loss(said), *wanted(said), done.changed, done.passes))
        progress("steer", len(found) - 1, len(edits))
    return found
