"""The gallery: what is said of the same images at several strengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vitrail.lmm import LMM
from vitrail.lmm.positions import Positions, UntilSaid
from vitrail.samples import Sample, thumbnail
from vitrail.steering.artifact import Steering
from vitrail.steering.tasks import CaptionTask, Task
from vitrail.trials.levels import Level


@dataclass(frozen=True)
class Shown:
    """An image and what was asked about it."""

    name: str
    thumbnail: bytes
    request: str


@dataclass(frozen=True)
class Gallery:
    """What a model says of images without steering and at several strengths.

    Args:
        title: the task, or "Steering".
        model: its name.
        about: what is said of the steering: name → value.
        levels: what was said at each strength; the first is without steering.
        shown: the images.
        success: what counts as wanted; empty without a task.
        marked: words to mark in the texts.
    """

    title: str
    model: str
    about: dict[str, Any]
    levels: tuple[Level, ...]
    shown: tuple[Shown, ...]
    success: str = ""
    marked: tuple[str, ...] = ()


def gallery_of(
    lmm: LMM,
    steering: Steering,
    samples: Sequence[Sample],
    found: Sequence[Level],
    *,
    task: Task | None = None,
    positions: Positions | None = None,
) -> Gallery:
    """A gallery of what `say_at_strengths` found.

    Args:
        task: its words are marked.
        positions: where the steering was applied; where it was made for if None.
    """
    shown = tuple(Shown(s.name, thumbnail(s.open()), lmm.request(s)) for s in samples)
    about = _about(steering, positions)
    if task is None:
        return Gallery("Steering", lmm.name, about, tuple(found), shown)
    marked = task.words | task.instead if isinstance(task, CaptionTask) else task.target
    return Gallery(task.name, lmm.name, about, tuple(found), shown, task.success, tuple(sorted(marked)))


def _about(steering: Steering, positions: Positions | None) -> dict[str, Any]:
    about: dict[str, Any] = {
        "by": steering.method.name,
        "layers": list(steering.layers),
        "positions": _position_name(positions, steering),
    }
    if steering.method.is_vector:
        about["norm in medians"] = [round(v, 2) for v in steering.norms.values()]
    if steering.share != 1:
        about["strength, each layer"] = round(steering.share, 2)
    return about


def _position_name(positions: Positions | None, steering: Steering) -> str:
    if positions is None:
        return steering.applied_at
    if isinstance(positions, UntilSaid):
        return "generated, until said"
    return positions if isinstance(positions, str) else "a mask"
