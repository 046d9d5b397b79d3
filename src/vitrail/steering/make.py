"""From a task and samples that show it to a steering, by any method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitrail.errors import UsageError
from vitrail.lmm import LMM
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.steering.artifact import Assignment, Steering
from vitrail.steering.methods.registry import method_named, task_methods
from vitrail.steering.options import SteeringOptions
from vitrail.steering.tasks import Task


def make_steering(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    options: SteeringOptions | None = None,
    *,
    method: str = "mean",
    out: str | Path,
    progress: Progress = silent,
) -> Steering:
    """A steering for `task`, made by `method` from samples that show the task, in the folder `out`.

    Vectors and L2S go from the examples that are not as wanted to those that are. LoReFT and DiReFT are trained on the
    answers as wanted.

    Args:
        samples: captioned images, or questions with answers, whichever the task is about.
        options: layers, positions, and what else a method uses.
        method: one of `task_methods()`.

    Raises:
        UsageError: no such method, an option that the method refuses, or a guard for a task that replaces nothing.
        DataError: the samples do not show the task.
        ArtifactError: `out` holds another steering.
    """
    chosen = method_named(method)
    if chosen.make is None:
        names = ", ".join(task_methods())
        raise UsageError(f"A steering is made from a task by {names}; got {method!r}.")
    return chosen.make(chosen, Assignment(lmm, task, samples, options or SteeringOptions(), Path(out), progress))
