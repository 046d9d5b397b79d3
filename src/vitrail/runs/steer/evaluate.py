"""`vitrail steer evaluate`: steerings and baselines side by side, with their page."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from vitrail.lmm import LMM
from vitrail.lmm.scorers import ImageTextScorer
from vitrail.progress import Progress, silent
from vitrail.reports.steering import steering_page
from vitrail.samples import Sample
from vitrail.steering import Steering, Task
from vitrail.trials import ContenderResult, ContestOptions, make_gallery
from vitrail.trials.contenders import all_baselines, given_contenders
from vitrail.trials.contest import compare_contenders, write_contest

#: The page shows so many samples.
N_SHOWN = 12


@dataclass(frozen=True)
class EvaluationSamples:
    """The samples of an evaluation: `training` makes the mean vector and LoRA, and `test` is reported on."""

    training: Sequence[Sample]
    test: Sequence[Sample]


def evaluate_steerings(
    lmm: LMM,
    task: Task,
    samples: EvaluationSamples,
    steerings: Sequence[Steering],
    options: ContestOptions | None = None,
    *,
    scorer: ImageTextScorer | None = None,
    out: str | Path | None = None,
    progress: Progress = silent,
) -> list[ContenderResult]:
    """The figures of no steering, the baselines and `steerings`.

    With `out` it writes `out`/evaluate.json, `out`/evaluate.html, and what was made for it.

    Raises:
        ArtifactError: a steering is for a model of another width.
        UsageError: guarded vectors of several layers.
        DataError: the samples do not show the task.
    """
    options = options or ContestOptions()
    for one in steerings:
        one.check(lmm)
    given = given_contenders(steerings, options)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()) if out is None else out)
        others = all_baselines(lmm, task, samples.training, steerings, options, folder=folder, progress=progress)
        results = compare_contenders(
            lmm, task, samples.test, [*others, *given], options, scorer=scorer, progress=progress
        )
    if out is not None:
        write_contest(results, Path(out))
        gallery = make_gallery(
            lmm,
            steerings[0],
            samples.test[:N_SHOWN],
            (0.5, 1.0, options.alpha),
            task=task,
            positions=None if steerings[0].method.fixed else options.positions,
            batch_size=options.batch_size,
            progress=progress,
        )
        steering_page(gallery, out=Path(out) / "evaluate.html", results=results)
    return results
