"""Methods and baselines side by side, on the same samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrail.artifacts import KeptParts, read_made, typed, write_sealed
from vitrail.lmm import LMM
from vitrail.lmm.scorers import ImageTextScorer
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.steering.tasks import Task
from vitrail.trials.contenders import Contender, unsteered
from vitrail.trials.judge import Judge
from vitrail.trials.options import ContestOptions
from vitrail.trials.outcome import Outcome
from vitrail.trials.speed import Speed, speeds
from vitrail.trials.texts import say

FILE = "evaluate.json"


@dataclass(frozen=True)
class ContenderResult:
    """What a contender did.

    Args:
        parameters: how many numbers were trained; "trained_parameters" in JSON.
        seconds: the time to make it; "seconds_to_train" in JSON.
        texts: what it said, in the order of the samples; not kept in JSON.
        speed: None where it was not measured.
        steering: the digest of the steering that it is; None for what is none.
        alpha: the strength of that steering.
    """

    name: str
    outcome: Outcome
    parameters: int
    seconds: float
    texts: tuple[str, ...] = ()
    speed: Speed | None = None
    steering: str | None = None
    alpha: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """An entry of `evaluate.json`."""
        return {
            "name": self.name,
            "trained_parameters": self.parameters,
            "seconds_to_train": self.seconds,
            "speed": None if self.speed is None else self.speed.as_dict(),
            "steering": self.steering,
            "alpha": self.alpha,
            **self.outcome.as_dict(),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ContenderResult:
        """The result whose `as_dict` is `values`."""
        return cls(
            typed(values["name"], str),
            Outcome.from_dict(values),
            typed(values["trained_parameters"], int),
            typed(values["seconds_to_train"], float),
            speed=None if values["speed"] is None else Speed.from_dict(values["speed"]),
            steering=None if values.get("steering") is None else typed(values["steering"], str),
            alpha=None if values.get("alpha") is None else typed(values["alpha"], float),
        )


def compare_contenders(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    contenders: Sequence[Contender],
    options: ContestOptions | None = None,
    *,
    scorer: ImageTextScorer | None = None,
    parts: KeptParts | None = None,
    progress: Progress = silent,
) -> list[ContenderResult]:
    """The figures of every contender on `samples`, no steering first.

    Args:
        options: repeats of the times, and the batch size.
        scorer: for CLIPScore; None leaves it out.
        parts: keeps what is finished.

    Raises:
        DataError: no sample counts for the task.
    """
    options, parts = options or ContestOptions(), parts or KeptParts(None, {})
    everyone = [Contender("none", unsteered), *contenders]
    timed = _timed(lmm, task, samples, everyone, options.repeats, parts, progress)
    found: list[ContenderResult] = []
    judge: Judge | None = None
    for place, contender in enumerate(everyone):
        asked, name = contender.requests(task, samples), f"{place} {contender.name}"

        def texts(contender: Contender = contender, asked: Sequence[Sample] = asked) -> list[str]:
            with contender.under(lmm) as model:
                return say(model, asked, max_new_tokens=task.max_new_tokens, batch_size=options.batch_size)

        said = parts.value(f"{name} says", texts, list[str])
        judge = judge or Judge(task, samples, said, lmm, scorer, options.batch_size)
        outcome, speed = judge.kept(parts, f"{name} judged", said, asked), timed.get(place)
        found.append(
            ContenderResult(
                contender.name,
                outcome,
                contender.parameters,
                contender.seconds,
                texts=tuple(said),
                speed=speed,
                steering=contender.steering,
                alpha=contender.alpha,
            )
        )
        progress("evaluate", len(found), len(everyone))
    return found


def _timed(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    contenders: Sequence[Contender],
    repeats: int,
    parts: KeptParts,
    progress: Progress,
) -> dict[int, Speed]:
    """The time of each contender, by its place; empty where it is not taken."""
    if not repeats:
        return {}

    def taken() -> list[dict[str, Any]]:
        found = speeds(lmm, task, samples, contenders, repeats=repeats, progress=progress)
        return [found[place].as_dict() for place in range(len(contenders))]

    return parts.part("times", taken, lambda values: dict(enumerate(map(Speed.from_dict, values))))


def write_contest(results: Sequence[ContenderResult], folder: Path) -> Path:
    """Writes `evaluate.json` to `folder`."""
    write_sealed(folder / FILE, {"contenders": [r.as_dict() for r in results]})
    return folder / FILE


def open_contest(folder: str | Path) -> list[ContenderResult]:
    """The results in `folder`, without the texts.

    Raises:
        ArtifactError: missing or damaged.
    """
    path = Path(folder) / FILE

    def results(found: Any) -> list[ContenderResult]:
        rows = found["contenders"] if isinstance(found, dict) else found  # a list in version 0.1.0
        return [ContenderResult.from_dict(row) for row in rows]

    return read_made(path, results, "evaluate")
