"""Teaches functions: L2S from pairs of states, LoReFT and DiReFT from answers."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.finetuning.run import hold_out
from vitrail.finetuning.training import Plan, Training
from vitrail.lmm import LMM, Layer
from vitrail.lmm.doctor import certificate
from vitrail.lmm.positions import Name
from vitrail.progress import Progress, silent
from vitrail.samples.examples import Example
from vitrail.steering.apply import steer
from vitrail.steering.artifact import Steering, about, describe, finished, named, write_steering
from vitrail.steering.learned import MODULES, Function, fit_two_layer
from vitrail.steering.states import States, read_states

log = logging.getLogger(__name__)


def learn_from_pairs(
    lmm: LMM,
    toward: Sequence[Example],
    away: Sequence[Example],
    *,
    out: str | Path,
    layer: Layer = -1,
    context: Layer = -1,
    stay: Sequence[Example] = (),
    read_at: Name = "generated",
    saying: Collection[str] = (),
    applied_at: Name = "generated",
    hidden: int = 100,
    epochs: int = 100,
    batch_size: int = 32,
    seed: int = 0,
    progress: Progress = silent,
) -> Steering:
    """L2S (Parekh et al. 2025): a small network that says, from where a prompt ends, which vector to add.

    Its targets are what a sample has at `layer` as an example of `toward` and not as one of `away`; the mean of
    `toward` minus what it has where it is no example of `toward`; and nothing for `stay`, whose answers should stay.
    The two may differ in their answers (paired states) or in their requests (prompt-to-steer, as published).

    Args:
        context: the layer of the state (the last of the prompt) that the network sees.
        hidden: width of its inner layer.

    Raises:
        DataError: no examples, or none with a position that is meant.
    """
    layer, context, out = lmm.layer(layer), lmm.layer(context), Path(out)
    details = {
        "context": context,
        "rank": hidden,
        "epochs": epochs,
        "toward": about(toward),
        "away": about(away),
        "stay": about(stay),
        "read_at": read_at,
        "saying": sorted(saying),
        "seed": seed,
    }
    parameters = describe(lmm, "l2s", (layer,), applied_at, details)
    if there := finished(out, parameters):
        return there
    doctor = certificate(lmm, [e.sample for e in away[:2]])
    start = time.perf_counter()

    def read(examples: Sequence[Example], at: Name, where: Layer, words: Collection[str] = ()) -> States:
        return read_states(lmm, examples, [where], positions=at, saying=words, batch_size=batch_size, progress=progress)

    to, off = read(toward, read_at, layer, saying), read(away, read_at, layer)
    contexts = read(away, "last", context).by_layer[context][list(off.examples)]
    goal = _targets(toward, away, to, off, layer)
    if stay:
        contexts = torch.cat([contexts, read(stay, "last", context).by_layer[context]])
        goal = torch.cat([goal, goal.new_zeros(len(contexts) - len(goal), goal.shape[1])])
    g = fit_two_layer(contexts, goal, hidden=hidden, epochs=epochs, seed=seed)
    seconds = time.perf_counter() - start
    return write_steering(out, parameters, named(layer, g), off.medians, seconds=seconds, doctor=doctor)


def _targets(toward: Sequence[Example], away: Sequence[Example], to: States, off: States, layer: Layer) -> Tensor:
    """(rows of `off`, features): each one's pair in `to`, or the mean, minus itself."""
    Z, mean = to.by_layer[layer], to.by_layer[layer].mean(0)
    of_sample: dict[str, Tensor] = {}
    for row, i in enumerate(to.examples):
        of_sample.setdefault(toward[i].sample.id, Z[row])
    goals = [of_sample.get(away[i].sample.id, mean) for i in off.examples]
    return torch.stack(goals) - off.by_layer[layer]


def learn_from_answers(
    lmm: LMM,
    examples: Sequence[Example],
    *,
    out: str | Path,
    method: Literal["loreft", "direft"] = "loreft",
    layers: Sequence[Layer] = (-2,),
    applied_at: Name = "generated",
    rank: int = 4,
    steps: int = 100,
    batch_size: int = 16,
    rate: float = 1e-2,
    measure_every: int = 20,
    patience: int = 3,
    seed: int = 0,
    progress: Progress = silent,
) -> Steering:
    """LoReFT or DiReFT (Wu et al. 2024) at `layers`, trained by the loss of the examples' answers; the model is frozen.

    A tenth of the samples is held out, and the function kept is that with the smallest loss on them. A run that was
    stopped goes on.

    Args:
        applied_at: the positions that are edited, in training as later.
        rate: AdamW's peak rate.

    Raises:
        UsageError: a parameter that cannot be.
        DataError: too few examples.
        NumericsError: the loss is not finite.
    """
    out, layers = Path(out), tuple(lmm.layer(layer) for layer in layers)
    if method not in ("loreft", "direft"):
        raise UsageError(f"Learned from answers are loreft and direft; got {method!r}.")
    details: dict[str, Any] = {"rank": rank, "examples": about(examples), "seed": seed}
    details |= {"steps": steps, "batch_size": batch_size, "rate": rate}
    parameters = describe(lmm, method, layers, applied_at, details)
    if there := finished(out, parameters):
        return there
    doctor = certificate(lmm, [e.sample for e in examples[:2]])
    start = time.perf_counter()
    functions = {layer: MODULES[method](lmm.n_features, rank).to(lmm.model.device) for layer in layers}
    train_by_answers(
        lmm,
        {f"{layer}.{n}": p for layer, f in functions.items() for n, p in f.named_parameters()},
        examples,
        Plan(steps, batch_size, rate, 0, measure_every, patience, seed),
        out,
        progress,
        edits=[Function(functions, positions=applied_at)],
    )
    medians = read_states(lmm, examples[:64], layers, positions=applied_at).medians
    seconds = time.perf_counter() - start
    tensors = {name: t for layer, f in functions.items() for name, t in named(layer, f).items()}
    return write_steering(out, parameters, tensors, medians, seconds=seconds, doctor=doctor)


def train_by_answers(
    lmm: LMM,
    parameters: dict[str, torch.nn.Parameter],
    examples: Sequence[Example],
    plan: Plan,
    out: Path,
    progress: Progress,
    edits: Sequence[Function] = (),
) -> None:
    """Trains `parameters` in place by the loss of the examples' answers, `lmm` being steered by `edits`."""
    learned_from, held_out = hold_out(examples, plan.seed)

    def go() -> None:
        training = Training(lmm, parameters, learned_from, held_out, plan, out, lambda step: None)
        training.run(progress)
        if training.finish()["best"] == 0:
            log.warning(
                "%s: training did not lower the loss on held-out examples, so that what is kept changes nothing. Try "
                "another layer, other positions, more steps, or more samples.", out,
            )  # fmt: skip

    if not edits:
        return go()
    with steer(lmm, *edits):
        go()
