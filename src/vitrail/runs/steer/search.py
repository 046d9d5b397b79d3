"""`vitrail steer search`: where and how strongly, with its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vitrail.artifacts import beside, check_ours, one_writer
from vitrail.lmm import LMM, as_lmm
from vitrail.lmm.scorers import ImageTextScorer
from vitrail.progress import Progress, shown
from vitrail.reports.steering import steering_page
from vitrail.samples import Sample, as_samples
from vitrail.steering import Application, Steering, Task, as_steering, as_task
from vitrail.trials import SearchOptions, SearchResult, gallery_of, say_at_strengths, search
from vitrail.trials.grid_search import candidates

#: The page shows so many samples.
N_SHOWN = 12


@one_writer
def search_steering(
    lmm: LMM | str | Path,
    task: Task | str,
    samples: Sequence[Sample] | str | Path,
    steering: Steering | str | Path,
    options: SearchOptions | None = None,
    *,
    scorer: ImageTextScorer | None = None,
    out: str | Path,
    progress: Progress | bool = True,
) -> SearchResult:
    """The layer and strength of `steering` with the largest effect within the budget; see `trials.search`.

    Every vector is tried by itself, a learned function as it is. Writes `out`/search.json and `out`/search.html.

    Raises:
        ArtifactError: the steering is for a model of another width, or was made on other weights.
        UsageError: nothing to try, or samples of a single image.
        DataError: no sample of a half counts for the task.
    """
    options, out, steering, task = options or SearchOptions(), Path(out), as_steering(steering), as_task(task)
    check_ours(beside("steer search", out))
    with shown(progress) as tell:
        lmm, samples = as_lmm(lmm), as_samples(samples, tell)
        steering.check(lmm, other_weights=options.other_weights)
        tried = candidates(steering, options.positions)
        found = search(lmm, task, samples, tried, options, scorer=scorer, out=out, progress=tell)
        one, some = _shown_steering(steering, found), samples[:N_SHOWN]
        where, size = Application(positions=options.positions), options.batch_size
        said = say_at_strengths(lmm, one, some, options.alphas, where, task=task, batch_size=size, progress=tell)
    gallery = gallery_of(lmm, one, some, said, task=task, positions=options.positions)
    start = 1.0 if found.picked is None else found.picked.alpha
    steering_page(gallery, out=out / "search.html", start=start, search=found)
    return found


def _shown_steering(steering: Steering, found: SearchResult) -> Steering:
    """The vector of the picked layer, or of the first layer where none was picked; a learned function as it is."""
    if not steering.method.is_vector:
        return steering
    return steering.only(steering.layers[0] if found.picked is None else found.picked.layer)
