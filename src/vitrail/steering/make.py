"""From a task and samples that show it to a steering, by any method."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitrail.artifacts import folder_for, writing
from vitrail.errors import UsageError
from vitrail.lmm import LMM, as_lmm
from vitrail.progress import Progress, shown
from vitrail.samples import Sample, as_samples
from vitrail.steering.artifact import Assignment, Steering
from vitrail.steering.methods.registry import method_named, refuse_options, task_methods
from vitrail.steering.options import SteeringOptions
from vitrail.steering.tasks import Task, as_task


def make_steering(
    lmm: LMM | str | Path,
    task: Task | str,
    samples: Sequence[Sample] | str | Path,
    options: SteeringOptions | None = None,
    *,
    method: str = "mean",
    out: str | Path | None = None,
    progress: Progress | bool = True,
) -> Steering:
    """A steering for `task`, made by `method` from samples that show the task, in the folder `out`.

    Vectors and L2S go from the examples that are not as wanted to those that are. LoReFT and DiReFT are trained on the
    answers as wanted.

    Args:
        lmm: the model, or its name or folder, as `load` takes it.
        task: a task, or the name of one in `vitrail.steering.TASKS`.
        samples: captioned images, or questions with answers, whichever the task is about; or their name, file or
            folder, as `load_samples` takes them.
        options: layers, positions, and what else a method uses.
        method: one of `task_methods()`.
        out: `vitrail-steerings/TASK-METHOD` for None. Another steering there is never overwritten, but refused.
        progress: bars where someone watches; False for nothing, or a function. See `vitrail.progress`.

    Raises:
        UsageError: no such method, an option that the method refuses, or a guard for a task that replaces nothing.
        DataError: the samples do not show the task.
        ArtifactError: `out` holds another steering.
    """
    chosen = method_named(method)
    if chosen.make is None:
        names = ", ".join(task_methods())
        raise UsageError(f"A steering is made from a task by {names}; got {method!r}.")
    options, plain = options or SteeringOptions(), SteeringOptions()
    refuse_options(method, {name: name for name, value in vars(options).items() if value != getattr(plain, name)})
    wanted = as_task(task)
    out = folder_for(out, "steerings", f"{wanted.name}-{method}", progress)
    with shown(progress) as tell, writing(out):
        shows, model = as_samples(samples, tell), as_lmm(lmm)
        return chosen.make(chosen, Assignment(model, wanted, shows, options, out, tell))
