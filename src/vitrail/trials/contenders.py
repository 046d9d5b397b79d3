"""Contenders: steerings and baselines, in one form. None, asking, a random direction, vectors, functions, LoRA."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from vitrail.artifacts import KeptParts
from vitrail.finetuning import TrainingOptions
from vitrail.lmm import LMM
from vitrail.lmm.positions import Positions
from vitrail.progress import Progress, silent
from vitrail.samples import Sample
from vitrail.steering.apply import steer
from vitrail.steering.artifact import Steering
from vitrail.steering.interventions import Add, Intervention
from vitrail.steering.make import make_steering
from vitrail.steering.options import SteeringOptions
from vitrail.steering.tasks import Task
from vitrail.steering.training import train_by_answers
from vitrail.steering.vectors import random_like
from vitrail.trials.lora import lora_of
from vitrail.trials.options import ContestOptions

log = logging.getLogger(__name__)

#: LoRA gets as many parameters as LoReFT of this rank in one layer, where no steering is a learned function.
RANK = 4
#: LoRA's peak rate, LoReFT's too: on Toyland none of five from 2e-3 to 5e-2 did better (`docs/log.md`).
LORA_RATE = 1e-2


@dataclass(frozen=True)
class Contender:
    """A way to steer, and its price.

    Args:
        name: in the table.
        under: gives, for a `with` block, the model that it steers.
        parameters: how many numbers were trained.
        seconds: the time to make it.
        asks: whether it asks for the task in the request.
        steering: the digest of the steering that it is; None for what is none.
        alpha: the strength of that steering.
    """

    name: str
    under: Callable[[LMM], AbstractContextManager[LMM]]
    parameters: int = 0
    seconds: float = 0.0
    asks: bool = False
    steering: str | None = None
    alpha: float | None = None

    def requests(self, task: Task, samples: Sequence[Sample]) -> Sequence[Sample]:
        """The samples with the requests that this contender makes."""
        return [task.asked(s) for s in samples] if self.asks else samples


@contextmanager
def unsteered(lmm: LMM) -> Iterator[LMM]:
    """The model as it is."""
    yield lmm


def intervention_contender(
    name: str, intervention: Intervention, *, parameters: int = 0, seconds: float = 0.0
) -> Contender:
    """An intervention as a contender."""

    @contextmanager
    def under(lmm: LMM) -> Iterator[LMM]:
        with steer(lmm, intervention):
            yield lmm

    return Contender(name, under, parameters, seconds)


def steering_contender(
    steering: Steering, alpha: float = 1.0, name: str | None = None, positions: Positions | None = None
) -> Contender:
    """A steering at strength `alpha` as a contender."""
    trained = 0 if steering.method.is_vector else steering.n_parameters
    edit = steering.intervention(alpha, positions=positions)
    made = intervention_contender(
        name or steering.method.name, edit, parameters=trained, seconds=steering.seconds or 0.0
    )
    return replace(made, steering=steering.digest, alpha=alpha)


def given_contenders(steerings: Sequence[Steering], options: ContestOptions) -> list[Contender]:
    """The steerings themselves, but for mean vectors, which are among the baselines.

    Methods that are `fixed` are applied as they were trained, whatever the options' strength and positions.
    """
    found = []
    for one in steerings:
        name = f"{one.method.name} ({one.folder.name})" if one.folder is not None else one.method.name
        if one.method.fixed:
            found.append(steering_contender(one, name=name))
        elif one.method.name != "mean":
            found.append(steering_contender(one, options.alpha, name, options.positions))
    return found


def baselines(
    vector: Steering, alpha: float = 1.0, seed: int = 0, positions: Positions | None = None
) -> list[Contender]:
    """Asking for it, a random direction with the norm of `vector` (the mean vector), and `vector` itself."""
    pushed = {layer: random_like(v, seed) for layer, v in vector.directions.items()}
    at = vector.applied_at if positions is None else positions
    return [
        Contender("prompt", unsteered, asks=True),
        intervention_contender("random direction", Add(pushed, alpha, positions=at)),
        steering_contender(vector, alpha, "mean", positions),
    ]


def all_baselines(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    steerings: Sequence[Steering],
    options: ContestOptions | None = None,
    *,
    folder: Path,
    parts: KeptParts,
    progress: Progress = silent,
) -> list[Contender]:
    """What every table has beside `steerings`: `baselines`, and LoRA with as many parameters.

    The mean vector is the one among `steerings`; without one, it is made from `samples`, at the layers of the first
    steering, in `folder`. LoRA is trained on `samples`, as one of the `parts`; without PEFT it is left out, with a
    warning.
    """
    options = options or ContestOptions()
    mean = next((s for s in steerings if s.method.name == "mean"), None)
    if mean is None:
        making = SteeringOptions(steerings[0].layers, batch_size=options.batch_size, seed=options.seed)
        mean = make_steering(lmm, task, samples, making, out=folder / "mean", progress=progress)
    found = baselines(mean, options.alpha, options.seed, options.positions)
    if find_spec("peft") is None:
        log.warning("LoRA is missing in the table: it needs PEFT. Install it by: pip install 'vitrail[peft]'")
        return found
    budget = next((s.n_parameters for s in steerings if not s.method.is_vector), RANK * (2 * lmm.n_features + 1))
    training = TrainingOptions(options.steps, seed=options.seed)
    return [*found, trained_lora(lmm, task, samples, budget, training, parts=parts, progress=progress)]


def trained_lora(
    lmm: LMM,
    task: Task,
    samples: Sequence[Sample],
    budget: int,
    training: TrainingOptions,
    *,
    parts: KeptParts,
    progress: Progress = silent,
) -> Contender:
    """LoRA with at most `budget` parameters, trained on what `task` teaches.

    Its weights are one of the `parts`, which also keep the state of a training that was stopped.

    Raises:
        ModelError: PEFT is not installed.
        UsageError: the budget is too small for a single layer.
        DataError: too few examples.
    """
    every = training.measure_every
    training = replace(training.with_rate(LORA_RATE), checkpoints=-(-training.steps // every))

    def trained() -> dict[str, Any]:
        start = time.perf_counter()
        with (
            TemporaryDirectory() as other,
            lora_of(lmm, budget, seed=training.seed) as (pupil, parameters),
        ):
            folder = parts.place("lora", Path(other))
            train_by_answers(pupil, parameters, task.taught(samples), training, out=folder, progress=progress)
            weights = {name: p.detach().float().cpu().numpy() for name, p in parameters.items()}
        return {"seconds": time.perf_counter() - start, "weights": weights}

    weights, seconds = parts.part(
        "lora", trained, lambda found: ({k: torch.tensor(v) for k, v in found["weights"].items()}, found["seconds"])
    )

    @contextmanager
    def under(model: LMM) -> Iterator[LMM]:
        with lora_of(model, budget, seed=training.seed) as (adapted, own):
            for name, p in own.items():
                p.data.copy_(weights[name])
            adapted.model.eval()
            yield adapted

    return Contender("lora", under, sum(w.numel() for w in weights.values()), seconds)
