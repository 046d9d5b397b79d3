"""The gallery: what is said of the same images at several strengths, on a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vitrail.lmm import LMM
from vitrail.lmm.positions import Positions, UntilSaid
from vitrail.progress import Progress, silent
from vitrail.reports.steering import Shown, steering_page
from vitrail.samples import Sample, thumbnail
from vitrail.steering.apply import steer
from vitrail.steering.artifact import VECTORS, Steering
from vitrail.trials.contest import Result
from vitrail.trials.grid_search import Found
from vitrail.trials.tasks import CaptionTask, Task, say


def write_gallery(
    lmm: LMM,
    steering: Steering,
    samples: Sequence[Sample],
    out: str | Path,
    *,
    strengths: Sequence[float] = (0.5, 1.0, 1.5, 2.0),
    task: Task | None = None,
    positions: Positions | None = None,
    found: Found | None = None,
    results: Sequence[Result] = (),
    batch_size: int = 32,
    progress: Progress = silent,
) -> Path:
    """A page with what `lmm` says of `samples` without steering and at each of `strengths`, strength 1 at first.

    After a search, the layer that it picked is shown alone, at first at the strength that it picked; the first layer
    where none was within its budget.
    """
    alphas = [0.0, *sorted({a for a in strengths if a != 0})]
    limit = 40 if task is None else task.max_new_tokens
    first = found.picked.alpha if found is not None and found.picked is not None else 1.0
    layer = None if found is None else steering.layers[0] if found.picked is None else found.picked.layer
    if layer is not None and steering.method in VECTORS:
        steering = steering.only(layer)
    said = [say(lmm, samples, max_new_tokens=limit, batch_size=batch_size)]
    for alpha in alphas[1:]:
        with steer(lmm, steering.intervention(alpha, positions=positions)):
            said.append(say(lmm, samples, max_new_tokens=limit, batch_size=batch_size))
        progress("gallery", len(said), len(alphas))
    shown = [
        Shown(s.name, thumbnail(s.open()), lmm.request(s), tuple(texts[i] for texts in said))
        for i, s in enumerate(samples)
    ]
    about: dict[str, Any] = {
        "by": steering.method,
        "layers": list(steering.layers),
        "positions": _named(positions, steering),
    }
    if steering.method in VECTORS:
        about["norm in medians"] = [round(v, 2) for v in steering.norms.values()]
    marked: Sequence[str] = ()
    worked: list[float] = []
    if task is not None:
        marked = sorted(task.words | task.instead if isinstance(task, CaptionTask) else task.target)
        counted = [[task.worked(t, b) for t, b in zip(texts, said[0], strict=True) if task.counts(b)] for texts in said]
        worked = [sum(c) / len(c) if c else 0.0 for c in counted]
    return steering_page(
        out,
        title=task.name if task is not None else "Steering",
        model=lmm.name,
        about=about,
        alphas=alphas,
        shown=shown,
        worked=worked,
        marked=marked,
        start=alphas.index(first) if first in alphas else None,
        found=None if found is None else found.as_dict(),
        results=[r.as_dict() for r in results],
    )


def _named(positions: Positions | None, steering: Steering) -> str:
    if positions is None:
        return str(steering.parameters["applied_at"])
    if isinstance(positions, UntilSaid):
        return "generated, until said"
    return positions if isinstance(positions, str) else "a mask"
