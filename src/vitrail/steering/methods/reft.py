"""LoReFT and DiReFT (Wu et al. 2024): functions of a state, trained by the loss of the wanted answers.

PEFT has no tuner that edits states at chosen positions, and pyreft needs transformers 4, so the two are written here.
They change nothing before they are trained.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.finetuning import TrainingOptions
from vitrail.lmm import LMM
from vitrail.lmm.doctor import certificate
from vitrail.progress import Progress, silent
from vitrail.samples.examples import Example
from vitrail.steering.artifact import (
    Assignment,
    Content,
    Steering,
    SteeringMethod,
    finished,
    module_tensors,
    parameters_of,
    write_steering,
)
from vitrail.steering.contrast import described
from vitrail.steering.learned_functions import Function
from vitrail.steering.options import Application, SteeringOptions
from vitrail.steering.states import example_states
from vitrail.steering.training import train_by_answers

#: AdamW's peak rate unless another one is given.
RATE = 1e-2
#: The largest batch that a task's examples are trained in.
LARGEST_BATCH = 16


class LoReFT(nn.Module):
    """`Rᵀ(Wh + b − Rh)`, `R` with orthonormal rows (Wu et al. 2024, equation 2): (…, features) → (…, features)."""

    def __init__(self, n_features: int, rank: int, seed: int = 0) -> None:
        super().__init__()
        _check_rank(rank, n_features)
        drawn = torch.randn(rank, n_features, generator=torch.Generator().manual_seed(seed))
        self.A = nn.Parameter(_orthonormal(drawn))
        self.W = nn.Parameter(self.A.detach().clone())
        self.b = nn.Parameter(torch.zeros(rank))
        self._R: tuple[Any, Tensor] | None = None

    @property
    def R(self) -> Tensor:
        """(rank, features): the orthonormal rows that span those of `A`; computed once while nothing is trained."""
        if torch.is_grad_enabled() and self.A.requires_grad:
            return _orthonormal(self.A)
        state = (self.A._version, self.A.device)
        if self._R is None or self._R[0] != state:
            self._R = (state, _orthonormal(self.A.detach()))
        return self._R[1]

    def forward(self, states: Tensor) -> Tensor:
        R = self.R
        return (states @ (self.W - R).T + self.b) @ R


class DiReFT(nn.Module):
    """`W₂ᵀ(W₁h + b)`, without the constraint (Wu et al. 2024, equation 3): (…, features) → (…, features)."""

    def __init__(self, n_features: int, rank: int, seed: int = 0) -> None:
        super().__init__()
        _check_rank(rank, n_features)
        drawn = torch.randn(rank, n_features, generator=torch.Generator().manual_seed(seed))
        self.W1 = nn.Parameter(drawn / n_features**0.5)
        self.b = nn.Parameter(torch.zeros(rank))
        self.W2 = nn.Parameter(torch.zeros(rank, n_features))

    def forward(self, states: Tensor) -> Tensor:
        return (states @ self.W1.T + self.b) @ self.W2


def _orthonormal(rows: Tensor) -> Tensor:
    """Orthonormal rows that span those of `rows`, turned the same way."""
    Q, upper = torch.linalg.qr(rows.T)
    return (Q * upper.diagonal().sign()).T


def _check_rank(rank: int, n_features: int) -> None:
    if not 1 <= rank <= n_features:
        raise UsageError(f"The rank must be 1 to {n_features}, the width of the states; got {rank}.")


def apply_function(steering: Steering, application: Application) -> Function:
    """Adds what the functions of a steering make of every state.

    Raises:
        UsageError: `keep_norm`, which only vectors have.
    """
    application.refuse_keep_norm(steering.method.name)
    return Function(steering.functions(), application.alpha, positions=steering.positions(application))


def make_from_task(method: SteeringMethod, assignment: Assignment) -> Steering:
    """A function trained on the answers that a task wants."""
    examples = assignment.task.taught(assignment.samples)
    return learn_from_answers(
        assignment.lmm,
        examples,
        assignment.options,
        method=method,
        out=assignment.out,
        progress=assignment.progress,
    )


LOREFT = SteeringMethod(
    "loreft",
    "low-rank function of every state",
    apply_function,
    make_from_task,
    module=LoReFT,
    fixed=True,
    details=("rank",),
    options=("rank", "steps"),
)
DIREFT = SteeringMethod(
    "direft",
    "LoReFT without orthonormal rows",
    apply_function,
    make_from_task,
    module=DiReFT,
    fixed=True,
    details=("rank",),
    options=("rank", "steps"),
)


def learn_from_answers(
    lmm: LMM,
    examples: Sequence[Example],
    options: SteeringOptions | None = None,
    *,
    method: SteeringMethod = LOREFT,
    training: TrainingOptions | None = None,
    out: str | Path,
    progress: Progress = silent,
) -> Steering:
    """LoReFT or DiReFT at `options.layers`, trained by the loss of the examples' answers; the model is frozen.

    A tenth of the samples is held out, and the function with the smallest loss on them is kept. A run that was stopped
    goes on.

    Args:
        options: layers, rank, and the positions that are edited, in training as later.
        training: how it is trained; by default with the steps, the batch size (16 at most) and the seed of `options`.

    Raises:
        UsageError: an impossible option, or a method without a module.
        DataError: too few examples.
        NumericsError: the loss is not finite.
        ArtifactError: `out` holds another steering.
    """
    if method.module is None:
        raise UsageError(f"The method {method.name} has no function to train.")
    options = options or SteeringOptions(layers=(-2,))
    training = (training or _training_of(options)).with_rate(RATE)
    out, layers = Path(out), tuple(lmm.own_names(options.layers))
    details: dict[str, Any] = {"rank": options.rank, "examples": described(examples), "seed": training.seed}
    details |= {"steps": training.steps, "batch_size": training.batch_size, "rate": training.rate}
    parameters = parameters_of(method, lmm, layers, options.applied_at, details)
    if there := finished(out, method, parameters):
        return there
    doctor = certificate(lmm, [e.sample for e in examples[:2]])
    start = time.perf_counter()
    functions = {layer: method.module(lmm.n_features, options.rank).to(lmm.model.device) for layer in layers}
    trained = {f"{layer}.{name}": p for layer, f in functions.items() for name, p in f.named_parameters()}
    edits = [Function(functions, positions=options.applied_at)]
    train_by_answers(lmm, trained, examples, training, out=out, edits=edits, progress=progress)
    medians = example_states(lmm, examples[:64], layers, positions=options.applied_at).medians
    seconds = time.perf_counter() - start
    tensors = {name: t for layer, f in functions.items() for name, t in module_tensors(layer, f).items()}
    return write_steering(out, method, parameters, Content(tensors, medians, seconds=seconds, doctor=doctor))


def _training_of(options: SteeringOptions) -> TrainingOptions:
    return TrainingOptions(options.steps, min(options.batch_size, LARGEST_BATCH), seed=options.seed)
