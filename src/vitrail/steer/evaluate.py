"""Methods and baselines side by side: none, asking, a random direction, vectors, learned functions, LoRA."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitrail.finetune.training import Plan
from vitrail.lmm import LMM
from vitrail.positions import Positions
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.scorers import ImageTextScorer
from vitrail.steer.apply import steer
from vitrail.steer.artifact import VECTORS, Steering
from vitrail.steer.interventions import Add, Intervention
from vitrail.steer.lora import lora
from vitrail.steer.outcome import Judge, Outcome
from vitrail.steer.tasks import Task, say, taught
from vitrail.steer.teach import train_by_answers
from vitrail.steer.vectors import random_like


@dataclass(frozen=True)
class Contender:
    """A way to steer, and what it takes: numbers trained (or averaged), seconds to make it."""

    name: str
    under: Callable[[LMM], Any]
    parameters: int = 0
    seconds: float = 0.0
    asks: bool = False


@dataclass(frozen=True)
class Result:
    """What a contender did. `texts` are what it said, in the order of the samples."""

    name: str
    outcome: Outcome
    parameters: int
    seconds: float
    seconds_per_token: float
    texts: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "trained_parameters": self.parameters,
            "seconds_to_train": self.seconds,
            "seconds_per_token": self.seconds_per_token,
            **self.outcome.as_dict(),
        }


def by(name: str, intervention: Intervention, *, parameters: int = 0, seconds: float = 0.0) -> Contender:
    """An intervention as a contender."""

    @contextmanager
    def under(lmm: LMM) -> Iterator[LMM]:
        with steer(lmm, intervention):
            yield lmm

    return Contender(name, under, parameters, seconds)


def of(
    steering: Steering, alpha: float = 1.0, name: str | None = None, positions: Positions | None = None
) -> Contender:
    """A steering from disk as a contender, at strength `alpha`."""
    trained = steering.n_parameters if steering.method not in VECTORS else 0
    seconds = steering.manifest.get("seconds") or 0.0
    edit = steering.intervention(alpha, positions=positions)
    return by(name or steering.method, edit, parameters=trained, seconds=seconds)


def baselines(
    vector: Steering, alpha: float = 1.0, seed: int = 0, positions: Positions | None = None
) -> list[Contender]:
    """Asking for it, and a random direction with the norm of `vector`."""
    pushed = {layer: random_like(v, seed) for layer, v in vector.directions.items()}
    at = vector.parameters["applied_at"] if positions is None else positions
    return [Contender("prompt", _plainly, asks=True), by("random direction", Add(pushed, alpha, positions=at))]


@contextmanager
def _plainly(lmm: LMM) -> Iterator[LMM]:
    yield lmm


def trained_lora(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    budget: int,
    plan: Plan,
    folder: Path,
    progress: Progress = silent,
) -> Contender:
    """LoRA with at most `budget` parameters, trained on what `task` teaches."""
    start = time.perf_counter()
    with lora(lmm, budget, seed=plan.seed) as (pupil, parameters):
        train_by_answers(pupil, parameters, taught(task, samples), plan, folder, progress)
        weights = {name: p.detach().clone() for name, p in parameters.items()}
    seconds = time.perf_counter() - start

    @contextmanager
    def under(model: LMM) -> Iterator[LMM]:
        with lora(model, budget, seed=plan.seed) as (worn, own):
            for name, p in own.items():
                p.data.copy_(weights[name])
            worn.model.eval()
            yield worn

    return Contender("lora", under, sum(w.numel() for w in weights.values()), seconds)


def evaluate_steering(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    contenders: Sequence[Contender],
    *,
    scorer: ImageTextScorer | None = None,
    batch_size: int = 32,
    progress: Progress = silent,
) -> list[Result]:
    """The figures of every contender on `samples`, no steering first.

    `seconds_per_token` is the time of generation over the tokens that came out; it says something where the machine
    has nothing else to do.
    """
    found: list[Result] = []
    judge: Judge | None = None
    for contender in [Contender("none", _plainly), *contenders]:
        asked = [task.asked(s) for s in samples] if contender.asks else samples
        start = time.perf_counter()
        with contender.under(lmm) as model:
            said = say(model, asked, max_new_tokens=task.max_new_tokens, batch_size=batch_size)
        seconds = time.perf_counter() - start
        if judge is None:
            judge = Judge(task, samples, said, lmm, scorer)
        n_tokens = sum(len(lmm.tokenizer.encode(t, add_special_tokens=False)) + 1 for t in said)
        found.append(
            Result(
                contender.name, judge.judge(said), contender.parameters, contender.seconds, seconds / n_tokens,
                tuple(said),
            )
        )  # fmt: skip
        progress("evaluate", len(found), len(contenders) + 1)
    return found
