"""From a task and samples to a steering, by any method: what `vitrail steer make` does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

from vitrail.errors import UsageError
from vitrail.lmm import LMM, Layer
from vitrail.lmm.positions import Name, Positions
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.samples.examples import Example
from vitrail.steering.artifact import VECTORS, Steering
from vitrail.steering.interventions import Intervention
from vitrail.steering.make import make_vector
from vitrail.steering.teach import learn_from_answers, learn_from_pairs
from vitrail.trials.tasks import AnswerTask, CaptionTask, Task, asked_plainly

Way = Literal["mean", "guarded", "probe", "pca", "random", "l2s", "loreft", "direft"]
#: What L2S's targets are read from: answers as wanted and not, or requests that ask for it and do not.
Targets = Literal["answers", "prompts"]


def make_for(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    *,
    out: str | Path,
    method: Way = "mean",
    layers: Sequence[Layer] = (-1,),
    applied_at: Name | None = None,
    saying: bool = True,
    targets: Targets = "answers",
    rank: int = 4,
    steps: int = 100,
    batch_size: int = 32,
    seed: int = 0,
    progress: Progress = silent,
) -> Steering:
    """A steering for `task`, made from samples that show it, in the folder `out`.

    Vectors and L2S go from the examples that are not as wanted to those that are; LoReFT and DiReFT are trained on the
    answers as wanted. A caption task's vector is read where the task's words are about to be said (`saying`), an answer
    task's where the answer is about to begin. A "guarded" vector is the difference of means, added only where what the
    task changes is about to be said: the answer, or the word that is to be replaced.

    Args:
        applied_at: which positions will be changed; "generated" by default.
        targets: of L2S: states of the answers that are wanted against those that are not; or, as published, the state
            where a request ends that asks for it against that of the plain request.

    Raises:
        UsageError: no such method or targets; several layers for L2S; a guard for captions of which nothing is to be
            replaced.
        DataError: the samples do not show the task.
    """
    if method not in get_args(Way):
        raise UsageError(f"A steering is made by {', '.join(get_args(Way))}; got {method!r}.")
    if targets not in get_args(Targets):
        raise UsageError(f"Targets of L2S are {' or '.join(get_args(Targets))}; got {targets!r}.")
    where: Name = applied_at or "generated"
    if method in ("loreft", "direft"):
        return learn_from_answers(
            lmm, task.taught(samples), out=out, method=method, layers=layers, applied_at=where, rank=rank,
            steps=steps, batch_size=min(batch_size, 16), seed=seed, progress=progress,
        )  # fmt: skip
    toward, away = task.toward(samples), task.away(samples)
    words = task.saying if saying and isinstance(task, CaptionTask) else frozenset()
    if method == "l2s":
        if len(layers) > 1:
            raise UsageError(f"L2S is made for one layer at a time; got {list(layers)}.")
        stay: list[Example] = task.stay(samples) if isinstance(task, AnswerTask) else []
        read_at: Name = task.read_at
        if targets == "prompts":
            away = asked_plainly(task, samples)
            toward, words, read_at = [Example(task.asked(e.sample), e.answer) for e in away], frozenset(), "last"
        return learn_from_pairs(
            lmm, toward, away, out=out, layer=layers[0], context=layers[0], stay=stay, read_at=read_at,
            saying=words, applied_at=where, batch_size=batch_size, seed=seed, progress=progress,
        )  # fmt: skip
    removed = task.words if words and isinstance(task, CaptionTask) and task.remove else frozenset()
    others: list[tuple[list[Example], frozenset[str]]] = []
    if method == "guarded":
        if isinstance(task, AnswerTask):
            others = [(task.stay(samples) + toward, frozenset())]
        elif removed:
            others = [(toward, frozenset()), (toward, words)]
        else:
            raise UsageError(
                f"A guard watches for the words that are to be replaced; {task.name!r} "
                + ("reads whole captions here: leave out --whole." if task.remove else "only wants something said.")
            )
    return make_vector(
        lmm, toward, away, out=out, method=method, layers=layers, read_at=task.read_at, saying=words,  # type: ignore[arg-type]
        saying_away=removed, others=others, applied_at=where, batch_size=batch_size, seed=seed, progress=progress,
    )  # fmt: skip


def tries(steering: Steering, positions: Positions | None = None) -> dict[Layer, Callable[[float], Intervention]]:
    """Layer → from a strength to the intervention there, for a search: each vector by itself, or the function whole."""

    def alone(one: Steering) -> Callable[[float], Intervention]:
        return lambda alpha: one.intervention(alpha, positions=positions)

    if steering.method not in VECTORS:
        return {steering.layers[0]: alone(steering)}
    return {layer: alone(steering.only(layer)) for layer in steering.layers}
