"""`vitrail steer apply`: what a model says before and after, and a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vitrail.lmm import LMM, as_lmm
from vitrail.progress import Progress, shown
from vitrail.reports.steering import steering_page
from vitrail.samples import Sample, as_samples
from vitrail.steering import Application, Steering, Task, as_steering, steer
from vitrail.trials import make_gallery, say


@dataclass(frozen=True)
class GalleryOptions:
    """A gallery to write.

    Args:
        page: its file.
        strengths: the strengths that it shows.
        task: its words are marked, and the texts that are as it wants are counted.
    """

    page: Path
    strengths: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    task: Task | None = None


@dataclass(frozen=True)
class AppliedSteering:
    """What a steering did.

    Args:
        before: the texts of the unsteered model, one for each sample; `after` are those of the steered one.
        changed: how many positions were changed, in `passes` forward passes.
    """

    before: list[str]
    after: list[str]
    changed: int
    passes: int


def apply_steering(
    lmm: LMM | str | Path,
    steering: Steering | str | Path,
    samples: Sequence[Sample] | str | Path,
    application: Application | None = None,
    *,
    gallery: GalleryOptions | None = None,
    batch_size: int = 32,
    progress: Progress | bool = True,
) -> AppliedSteering:
    """What `lmm` says of `samples` before and after; with `gallery`, also a page at several strengths.

    Raises:
        ArtifactError: the steering is for a model of another width.
        UsageError: `keep_norm` for a learned function, or guarded vectors of several layers.
    """
    application, steering = application or Application(), as_steering(steering)
    with shown(progress) as tell:
        lmm, samples = as_lmm(lmm), as_samples(samples, tell)
        steering.check(lmm)
        intervention = steering.applied(application)
        before = say(lmm, samples, batch_size=batch_size)
        with steer(lmm, intervention) as done:
            after = say(lmm, samples, batch_size=batch_size, progress=tell)
        if gallery is not None:
            pictures = make_gallery(
                lmm,
                steering,
                samples,
                gallery.strengths,
                task=gallery.task,
                positions=application.positions,
                batch_size=batch_size,
                progress=tell,
            )
            steering_page(pictures, out=gallery.page)
    return AppliedSteering(before, after, done.changed, done.passes)
