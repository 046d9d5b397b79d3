"""Methods and baselines side by side: none, asking, a random direction, vectors, learned functions, LoRA."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from vitrail.finetuning.training import Plan
from vitrail.lmm import LMM
from vitrail.lmm.parts import speaker
from vitrail.lmm.positions import Positions
from vitrail.lmm.scorers import ImageTextScorer
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.steering.apply import steer
from vitrail.steering.artifact import VECTORS, Steering
from vitrail.steering.interventions import Add, Intervention
from vitrail.steering.teach import train_by_answers
from vitrail.steering.vectors import random_like
from vitrail.trials.lora import lora_of
from vitrail.trials.outcome import Judge, Outcome
from vitrail.trials.recipes import make_for
from vitrail.trials.tasks import Task, say

log = logging.getLogger(__name__)

#: LoRA gets as many parameters as LoReFT of this rank in one layer, where nothing learned says how many.
RANK = 4
#: LoRA's peak rate, LoReFT's too: on Toyland none of five from 2e-3 to 5e-2 did better (`docs/log.md`).
LORA_RATE = 1e-2


@dataclass(frozen=True)
class Contender:
    """A way to steer, and what it takes: numbers trained (or averaged), seconds to make it."""

    name: str
    under: Callable[[LMM], Any]
    parameters: int = 0
    seconds: float = 0.0
    asks: bool = False


@dataclass(frozen=True)
class Speed:
    """The time of generation.

    Args:
        per_token: seconds, the median over the repeats.
        added: seconds per token more than without steering, the median over pairs of neighbouring runs.
        share: the same as a share of the time without steering, `{"median", "low", "high", "n"}`, with a 95 % interval.
    """

    per_token: float
    added: float
    share: dict[str, float]


@dataclass(frozen=True)
class Result:
    """What a contender did. `texts` are what it said, in the order of the samples; `speed` is None if not measured."""

    name: str
    outcome: Outcome
    parameters: int
    seconds: float
    texts: tuple[str, ...]
    speed: Speed | None = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "trained_parameters": self.parameters,
            "seconds_to_train": self.seconds,
            "speed": None if self.speed is None else asdict(self.speed),
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
    """Asking for it, a random direction with the norm of `vector` (the mean vector), and `vector` itself."""
    pushed = {layer: random_like(v, seed) for layer, v in vector.directions.items()}
    at = vector.parameters["applied_at"] if positions is None else positions
    return [
        Contender("prompt", _plainly, asks=True),
        by("random direction", Add(pushed, alpha, positions=at)),
        of(vector, alpha, "mean", positions),
    ]


def all_baselines(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    steerings: Sequence[Steering],
    *,
    folder: Path,
    alpha: float = 1.0,
    positions: Positions | None = None,
    steps: int = 60,
    batch_size: int = 32,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Contender]:
    """What belongs beside `steerings` in every table: `baselines`, and LoRA with as many parameters.

    The mean vector is that among `steerings`; where there is none it is made from `samples`, at the layers of the first
    of them, in `folder`. LoRA is trained on `samples`; without PEFT it is left out, which is said.
    """
    mean = next((s for s in steerings if s.method == "mean"), None)
    if mean is None:
        mean = make_for(
            lmm, task, samples, out=folder / "mean", layers=steerings[0].layers, batch_size=batch_size, seed=seed,
            progress=progress,
        )  # fmt: skip
    found = baselines(mean, alpha, seed, positions)
    if find_spec("peft") is None:
        log.warning("LoRA is missing in the table: it needs PEFT. Install it by: pip install 'vitrail[peft]'")
        return found
    learned = next((s.n_parameters for s in steerings if s.method not in VECTORS), RANK * (2 * lmm.n_features + 1))
    plan = Plan(steps, 16, LORA_RATE, 0, 20, 3, seed)
    return [*found, trained_lora(lmm, task, samples, learned, plan, folder / "lora", progress)]


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
    with lora_of(lmm, budget, seed=plan.seed) as (pupil, parameters):
        train_by_answers(pupil, parameters, task.taught(samples), plan, folder, progress)
        weights = {name: p.detach().clone() for name, p in parameters.items()}
    seconds = time.perf_counter() - start

    @contextmanager
    def under(model: LMM) -> Iterator[LMM]:
        with lora_of(model, budget, seed=plan.seed) as (worn, own):
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
    repeats: int = 0,
    batch_size: int = 32,
    progress: Progress = silent,
) -> list[Result]:
    """The figures of every contender on `samples`, no steering first.

    Args:
        repeats: how often the time of each is taken, in turns (`speeds`); 0 leaves it out.
    """
    everyone = [Contender("none", _plainly), *contenders]
    timed = speeds(lmm, task, samples, everyone, repeats=repeats, progress=progress) if repeats else {}
    found: list[Result] = []
    judge: Judge | None = None
    for place, contender in enumerate(everyone):
        asked = [task.asked(s) for s in samples] if contender.asks else samples
        with contender.under(lmm) as model:
            said = say(model, asked, max_new_tokens=task.max_new_tokens, batch_size=batch_size)
        judge = judge or Judge(task, samples, said, lmm, scorer)
        found.append(
            Result(
                contender.name, judge.judge(said), contender.parameters, contender.seconds, tuple(said),
                timed.get(place),
            )
        )  # fmt: skip
        progress("evaluate", len(found), len(everyone))
    return found


def speeds(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    contenders: Sequence[Contender],
    *,
    repeats: int = 15,
    n_tokens: int = 16,
    rows: int = 8,
    progress: Progress = silent,
) -> dict[int, Speed]:
    """The time that each contender takes to say `n_tokens` tokens of `rows` samples, by its place in `contenders`.

    They take turns, forwards and backwards, and each is held against the first (no steering) in the same turn, so that
    what else the machine does hits all alike. All say as many tokens: none may end early. Putting an intervention on
    and taking it off is not counted, asking for it in a prompt is.
    """
    some = list(samples[:rows])
    seconds = np.zeros((repeats, len(contenders)))
    order = list(range(len(contenders)))
    with _never_ending(lmm, n_tokens):
        for turn in range(-1, repeats):  # the first turn is a rehearsal
            for place in order if turn % 2 else reversed(order):
                contender = contenders[place]
                asked = [task.asked(s) for s in some] if contender.asks else some
                with contender.under(lmm) as model:
                    inputs = model.prepare([s.open() for s in asked], [lmm.request(s) for s in asked])
                    start = time.perf_counter()
                    model.generate(inputs, n_tokens)
                    seconds[max(turn, 0), place] = time.perf_counter() - start
            progress("time", turn + 1, repeats)
    per_token = seconds / (len(some) * n_tokens)
    return {
        place: Speed(
            float(np.median(per_token[:, place])),
            float(np.median(per_token[:, place] - per_token[:, 0])),
            _median_interval(per_token[:, place] / per_token[:, 0] - 1),
        )
        for place in order
    }


@contextmanager
def _never_ending(lmm: LMM, n_tokens: int) -> Iterator[None]:
    """Inside, every answer is `n_tokens` long or longer."""
    settings = speaker(lmm.model).generation_config
    before = settings.min_new_tokens
    settings.min_new_tokens = n_tokens
    try:
        yield
    finally:
        settings.min_new_tokens = before


def _median_interval(values: np.ndarray, seed: int = 0, resamples: int = 2000) -> dict[str, float]:
    """The median with its 95 % percentile bootstrap interval."""
    again = np.random.default_rng(seed).integers(0, len(values), (resamples, len(values)))
    low, high = np.quantile(np.median(values[again], axis=1), [0.025, 0.975])
    return {"median": float(np.median(values)), "low": float(low), "high": float(high), "n": len(values)}
