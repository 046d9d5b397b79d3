"""`vitrail steer search`: where and how strongly, with its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitrail.lmm import LMM
from vitrail.lmm.scorers import ImageTextScorer
from vitrail.progress import Progress, silent
from vitrail.reports.steering import steering_page
from vitrail.samples import Sample
from vitrail.steering import Steering, Task
from vitrail.trials import SearchOptions, SearchResult, make_gallery, search
from vitrail.trials.grid_search import candidates

#: The page shows so many samples.
N_SHOWN = 12


def search_steering(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    steering: Steering,
    options: SearchOptions | None = None,
    *,
    scorer: ImageTextScorer | None = None,
    out: str | Path,
    progress: Progress = silent,
) -> SearchResult:
    """The layer and strength of `steering` with the largest effect within the budget; see `trials.search`.

    Every vector is tried by itself, a learned function as it is. Writes `out`/search.json and `out`/search.html.

    Raises:
        ArtifactError: the steering is for a model of another width.
        UsageError: nothing to try, or samples of a single image.
        DataError: no sample of a half counts for the task.
    """
    options, out = options or SearchOptions(), Path(out)
    steering.check(lmm)
    tried = candidates(steering, options.positions)
    found = search(lmm, task, samples, tried, options, scorer=scorer, out=out, progress=progress)
    gallery = make_gallery(
        lmm,
        _shown_steering(steering, found),
        samples[:N_SHOWN],
        options.alphas,
        task=task,
        positions=options.positions,
        batch_size=options.batch_size,
        progress=progress,
    )
    steering_page(gallery, out=out / "search.html", search=found)
    return found


def _shown_steering(steering: Steering, found: SearchResult) -> Steering:
    """The vector of the picked layer, or of the first layer where none was picked; a learned function as it is."""
    if not steering.method.is_vector:
        return steering
    return steering.only(steering.layers[0] if found.picked is None else found.picked.layer)
