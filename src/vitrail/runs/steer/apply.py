"""`vitrail steer apply`: what a model says before and after, what that cost, and a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitrail.lmm import LMM, as_lmm
from vitrail.progress import Progress, shown
from vitrail.reports.steering import steering_page
from vitrail.samples import Sample, as_samples
from vitrail.steering import Application, Steering, Task, as_steering, as_task
from vitrail.trials import GalleryOptions, Level, gallery_of, say_at_strengths


def apply_steering(
    lmm: LMM | str | Path,
    steering: Steering | str | Path,
    samples: Sequence[Sample] | str | Path,
    application: Application | None = None,
    *,
    task: Task | str | None = None,
    page: GalleryOptions | None = None,
    batch_size: int = 32,
    progress: Progress | bool = True,
) -> tuple[Level, Level]:
    """What `lmm` says of `samples` before and after, each with its figures; and a page of them.

    Args:
        task: the texts that are as it wants are counted, and its words are marked on the page.
        page: its file, and what it shows; no page without a file.

    Raises:
        ArtifactError: the steering is for a model of another width, or was made on other weights.
        UsageError: `keep_norm` for a learned function, or guarded vectors of several layers.
    """
    application, steering, page = application or Application(), as_steering(steering), page or GalleryOptions()
    wanted = None if task is None else as_task(task)
    strengths = {application.alpha, *(page.gallery_strengths if page.gallery else ())}
    with shown(progress) as tell:
        lmm, samples = as_lmm(lmm), as_samples(samples, tell)
        steering.check(lmm, other_weights=application.other_weights)
        found = say_at_strengths(
            lmm, steering, samples, strengths, application, task=wanted, batch_size=batch_size, progress=tell
        )
    if page.gallery is not None:
        gallery = gallery_of(lmm, steering, samples, found, task=wanted, positions=application.positions)
        steering_page(gallery, out=page.gallery, start=application.alpha)
    return found[0], next(level for level in found if level.alpha == application.alpha)
