"""`vitrail steer evaluate`: steerings and baselines side by side, with their page."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vitrail.artifacts import KeptParts, beside, check_ours, one_writer
from vitrail.finetuning import TrainingOptions
from vitrail.lmm import LMM, as_lmm
from vitrail.lmm.scorers import ImageTextScorer
from vitrail.progress import Progress, foretell, shown
from vitrail.reports.steering import steering_page
from vitrail.samples import Sample, digest_of
from vitrail.steering import Application, Steering, Task, as_steering, as_task
from vitrail.trials import ContenderResult, ContestOptions, gallery_of, say_at_strengths
from vitrail.trials.contenders import all_baselines, given_contenders
from vitrail.trials.contest import compare_contenders, write_contest

#: The page shows so many samples.
N_SHOWN = 12


@dataclass(frozen=True)
class EvaluationSamples:
    """The samples of an evaluation: `training` makes the mean vector and LoRA, and `test` is reported on."""

    training: Sequence[Sample]
    test: Sequence[Sample]


@one_writer
def evaluate_steerings(
    lmm: LMM | str | Path,
    task: Task | str,
    samples: EvaluationSamples,
    steerings: Sequence[Steering | str | Path],
    options: ContestOptions | None = None,
    *,
    scorer: ImageTextScorer | None = None,
    out: str | Path | None = None,
    progress: Progress | bool = True,
) -> list[ContenderResult]:
    """The figures of no steering, the baselines and `steerings`.

    With `out` it writes `out`/evaluate.json, `out`/evaluate.html, and the mean vector. What is finished is kept, so
    that a run that was stopped goes on.

    Raises:
        ArtifactError: a steering is for a model of another width, or was made on other weights.
        UsageError: guarded vectors of several layers.
        DataError: the samples do not show the task.
    """
    options, task, opened = options or ContestOptions(), as_task(task), [as_steering(s) for s in steerings]
    check_ours([] if out is None else beside("steer evaluate", Path(out)))
    lmm = as_lmm(lmm)
    for one in opened:
        one.check(lmm, other_weights=options.other_weights)
    given = given_contenders(opened, options)
    n = 5 + len(given)
    foretell(
        {
            "the mean vector": 2 * len(samples.training),
            "training LoRA": 3 * TrainingOptions().batch_size * options.steps if find_spec("peft") else 0,
            "what contenders say": 3 * n * len(samples.test),
            "their times": 2 * 8 * n * (options.repeats + 1) if options.repeats else 0,
        }
    )
    with ExitStack() as stack:
        tell = stack.enter_context(shown(progress))
        folder = Path(stack.enter_context(TemporaryDirectory()) if out is None else out)
        parts = KeptParts(None if out is None else folder, _decided(lmm, task, samples, opened, options, scorer))
        others = all_baselines(lmm, task, samples.training, opened, options, folder=folder, parts=parts, progress=tell)
        results = compare_contenders(
            lmm, task, samples.test, [*others, *given], options, scorer=scorer, parts=parts, progress=tell
        )
        if out is None:
            return results
        write_contest(results, Path(out))
        first, some, size = opened[0], samples.test[:N_SHOWN], options.batch_size
        alpha, where = (1.0, None) if first.method.fixed else (options.alpha, options.positions)
        at = Application(positions=where)
        said = say_at_strengths(lmm, first, some, {0.5, alpha}, at, task=task, batch_size=size, progress=tell)
        gallery = gallery_of(lmm, first, some, said, task=task, positions=where)
        steering_page(gallery, out=Path(out) / "evaluate.html", start=alpha, results=results)
        parts.remove()
    return results


def _decided(
    lmm: LMM,
    task: Task,
    samples: EvaluationSamples,
    steerings: Sequence[Steering],
    options: ContestOptions,
    scorer: ImageTextScorer | None,
) -> dict[str, Any]:
    """All that decides the figures of an evaluation."""
    return {
        "model": lmm.describe().as_dict(),
        "task": task,
        "training": digest_of(samples.training),
        "test": digest_of(samples.test),
        "steerings": [one.digest for one in steerings],
        "options": options,
        "scorer": None if scorer is None else scorer.fingerprint,
    }
