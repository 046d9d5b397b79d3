"""The gallery: what is said of the same images at several strengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vitrail.lmm import LMM
from vitrail.lmm.positions import Positions, UntilSaid
from vitrail.progress import Progress, silent
from vitrail.samples import Sample, thumbnail
from vitrail.steering.apply import steer
from vitrail.steering.artifact import Steering
from vitrail.steering.tasks import CaptionTask, Task
from vitrail.trials.texts import say


@dataclass(frozen=True)
class Shown:
    """An image, what was asked about it, and what was said at each strength; the first is without steering."""

    name: str
    thumbnail: bytes
    request: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Gallery:
    """What a model says of images without steering and at several strengths.

    Args:
        title: the task, or "Steering".
        model: its name.
        about: what is said of the steering: name → value.
        alphas: the strengths; the first is 0.
        shown: the images.
        worked: at each strength, the share of texts that are as wanted; empty without a task.
        marked: words to mark in the texts.
    """

    title: str
    model: str
    about: dict[str, Any]
    alphas: tuple[float, ...]
    shown: tuple[Shown, ...]
    worked: tuple[float, ...] = ()
    marked: tuple[str, ...] = ()


def make_gallery(
    lmm: LMM,
    steering: Steering,
    samples: Sequence[Sample],
    strengths: Sequence[float] = (0.5, 1.0, 1.5, 2.0),
    *,
    task: Task | None = None,
    positions: Positions | None = None,
    batch_size: int = 32,
    progress: Progress = silent,
) -> Gallery:
    """What `lmm` says of `samples` without steering and at each of `strengths`.

    Args:
        task: its words are marked, and the texts that are as it wants are counted.
        positions: where the steering is applied; where it was made for if None.
    """
    alphas = (0.0, *sorted({a for a in strengths if a != 0}))
    limit = 40 if task is None else task.max_new_tokens
    said = [say(lmm, samples, max_new_tokens=limit, batch_size=batch_size)]
    for alpha in alphas[1:]:
        with steer(lmm, steering.intervention(alpha, positions=positions)):
            said.append(say(lmm, samples, max_new_tokens=limit, batch_size=batch_size))
        progress("gallery", len(said), len(alphas))
    shown = tuple(
        Shown(s.name, thumbnail(s.open()), lmm.request(s), tuple(texts[i] for texts in said))
        for i, s in enumerate(samples)
    )
    title, about = "Steering" if task is None else task.name, _about(steering, positions)
    return Gallery(title, lmm.name, about, alphas, shown, _worked(task, said), _marked(task))


def _about(steering: Steering, positions: Positions | None) -> dict[str, Any]:
    about: dict[str, Any] = {
        "by": steering.method.name,
        "layers": list(steering.layers),
        "positions": _position_name(positions, steering),
    }
    if steering.method.is_vector:
        about["norm in medians"] = [round(v, 2) for v in steering.norms.values()]
    return about


def _worked(task: Task | None, said: Sequence[Sequence[str]]) -> tuple[float, ...]:
    """The share of texts that are as `task` wants, for each strength."""
    if task is None:
        return ()
    counted = [[task.worked(t, b) for t, b in zip(texts, said[0], strict=True) if task.counts(b)] for texts in said]
    return tuple(sum(c) / len(c) if c else 0.0 for c in counted)


def _marked(task: Task | None) -> tuple[str, ...]:
    if task is None:
        return ()
    return tuple(sorted(task.words | task.instead if isinstance(task, CaptionTask) else task.target))


def _position_name(positions: Positions | None, steering: Steering) -> str:
    if positions is None:
        return steering.applied_at
    if isinstance(positions, UntilSaid):
        return "generated, until said"
    return positions if isinstance(positions, str) else "a mask"
