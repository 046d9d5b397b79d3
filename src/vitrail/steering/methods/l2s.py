"""L2S (Parekh et al. 2025): a small network that predicts, from where a prompt ends, which vector to add."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.lmm import LMM, Layer
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
from vitrail.steering.contrast import Contrast, ExampleSet, described
from vitrail.steering.learned_functions import FromContext
from vitrail.steering.options import Application, SteeringOptions, Targets
from vitrail.steering.states import States, example_states


@dataclass(frozen=True)
class NetworkOptions:
    """How L2S's network is fitted.

    Args:
        hidden: width of its inner layer.
        epochs: passes over the examples.
        rate: Adam's rate.
        batch_size: examples in a batch.
    """

    hidden: int = 100
    epochs: int = 100
    rate: float = 1e-3
    batch_size: int = 64


class TwoLayer(nn.Module):
    """L2S's `g`: two layers, tanh, no output bias (Parekh et al. 2025): (…, features) → (…, features).

    `centre` and `spread` (features,) standardise the input, which the paper leaves open; `unit` is the norm in whose
    units it is trained.
    """

    centre: Tensor
    spread: Tensor
    unit: Tensor

    def __init__(self, n_features: int, hidden: int = 100, seed: int = 0) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.into = nn.Parameter(torch.randn(hidden, n_features, generator=draw) / n_features**0.5)
        self.bias = nn.Parameter(torch.zeros(hidden))
        self.out = nn.Parameter(torch.randn(hidden, n_features, generator=draw) / hidden**0.5)
        self.register_buffer("centre", torch.zeros(n_features))
        self.register_buffer("spread", torch.ones(n_features))
        self.register_buffer("unit", torch.ones(()))

    def forward(self, states: Tensor) -> Tensor:
        inner = torch.tanh((states - self.centre) / self.spread @ self.into.T + self.bias)
        return self.unit * (inner @ self.out)


def fit_two_layer(
    contexts: Float[Tensor, "n d"],
    targets: Float[Tensor, "n d"],
    options: NetworkOptions | None = None,
    *,
    seed: int = 0,
) -> TwoLayer:
    """L2S's `g` with `g(contexts) ≈ targets`, by the paper's loss: MSE + L1 − 0.1·cos.

    The output layer begins as the directions that the targets have most in common. Targets are in units of their mean
    norm.

    Raises:
        UsageError: contexts and targets of different shapes, or targets that are all zero.
    """
    options = options or NetworkOptions()
    if contexts.shape != targets.shape or contexts.ndim != 2 or not targets.any():
        raise UsageError(
            f"Expected contexts and targets of one shape, and a target that is not zero; got {tuple(contexts.shape)} "
            f"and {tuple(targets.shape)}."
        )
    norms = targets.norm(dim=1)
    unit = norms[norms > 0].mean()
    goal = targets / unit
    g = _initial(contexts, goal, options.hidden, seed)
    optimizer = torch.optim.Adam(g.parameters(), lr=options.rate)
    draw = torch.Generator().manual_seed(seed)
    with torch.enable_grad():
        for _ in range(options.epochs):
            for rows in torch.randperm(len(goal), generator=draw).split(options.batch_size):
                optimizer.zero_grad()
                _loss(g(contexts[rows]), goal[rows]).backward()
                optimizer.step()
    g.unit = unit
    return g.requires_grad_(False)


def _initial(contexts: Float[Tensor, "n d"], goal: Float[Tensor, "n d"], hidden: int, seed: int) -> TwoLayer:
    """The network before it is fitted: its input is standardised, its output are the goal's main directions."""
    g = TwoLayer(contexts.shape[1], hidden, seed)
    g.centre, g.spread = contexts.mean(0), contexts.std(0) + 1e-6 * contexts.abs().max()
    _, values, rows = torch.linalg.svd(goal, full_matrices=False)
    n = min(hidden, len(rows))
    with torch.no_grad():
        g.out.mul_(0.01)
        g.out[:n] = rows[:n] * (values[:n] / len(goal) ** 0.5)[:, None]
    return g


def _loss(found: Float[Tensor, "n d"], wanted: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    cosine = torch.nn.functional.cosine_similarity(found, wanted, dim=1)
    error = found - wanted
    return error.square().mean() + error.abs().mean() - 0.1 * cosine.mean()


def add_from_context(steering: Steering, application: Application) -> FromContext:
    """Adds the vector that the network predicts from the state in which the prompt ends.

    Raises:
        UsageError: `keep_norm`, which only vectors have.
    """
    application.refuse_keep_norm(steering.method.name)
    where, context = steering.positions(application), steering.parameters["context"]
    return FromContext(context, steering.functions(), application.alpha, positions=where)


def make_from_task(method: SteeringMethod, assignment: Assignment) -> Steering:
    """A network of the examples of a task, by its answers or by its requests (`SteeringOptions.targets`).

    Raises:
        UsageError: several layers, or unknown targets.
        DataError: the samples do not show the task.
    """
    task, samples, options = assignment.task, assignment.samples, assignment.options
    if options.targets not in get_args(Targets):
        raise UsageError(f"Targets of L2S are {' or '.join(get_args(Targets))}; got {options.targets!r}.")
    contrast = assignment.contrast()
    if options.targets == "prompts":
        plain = task.asked_plainly(samples)
        asking = [Example(task.asked(e.sample), e.answer) for e in plain]
        read = options.read_at or "last"
        contrast = replace(contrast, toward=ExampleSet(asking), away=ExampleSet(plain), read_at=read)
    return learn_from_pairs(assignment.lmm, contrast, options, out=assignment.out, progress=assignment.progress)


L2S = SteeringMethod(
    "l2s",
    "a vector for every input, predicted from where its prompt ends",
    add_from_context,
    make_from_task,
    module=TwoLayer,
    constants=("centre", "spread", "unit"),
)


def learn_from_pairs(
    lmm: LMM,
    contrast: Contrast,
    options: SteeringOptions | None = None,
    *,
    out: str | Path,
    context: Layer | None = None,
    network: NetworkOptions | None = None,
    progress: Progress = silent,
) -> Steering:
    """L2S at one layer: a network that predicts, from where a prompt ends, which vector to add.

    The target of an example of `contrast.away` is the state of the same sample in `contrast.toward` minus its own, or,
    where the sample is not in `toward`, the mean of `toward` minus its own. The target of `contrast.stay`, whose
    answers should stay, is zero. The two sets may differ in their answers (paired states), or in their requests
    (prompt-to-steer, as published).

    Args:
        options: the layer, the positions that will be changed, the seed.
        context: the layer of the state, the last of the prompt, that the network reads; the layer itself by default.
        network: how the network is fitted.

    Raises:
        UsageError: several layers.
        DataError: no example has a selected position.
        ArtifactError: `out` holds another steering.
    """
    options, network, out = options or SteeringOptions(), network or NetworkOptions(), Path(out)
    if len(options.layers) != 1:
        raise UsageError(f"L2S is made for one layer at a time; got {list(options.layers)}.")
    (layer,) = map(lmm.layer, options.layers)
    read_from = layer if context is None else lmm.layer(context)
    details = {"context": read_from, **_details(contrast, options, network)}
    parameters = parameters_of(L2S, lmm, (layer,), options.applied_at, details)
    if there := finished(out, L2S, parameters):
        return there
    doctor = certificate(lmm, [e.sample for e in contrast.away.examples[:2]])
    start = time.perf_counter()
    pairs = _pairs(_StateReader(lmm, options.batch_size, progress), contrast, layer, read_from)
    g = fit_two_layer(pairs.contexts, pairs.targets, network, seed=options.seed)
    seconds = time.perf_counter() - start
    made = Content(module_tensors(layer, g), pairs.medians, seconds=seconds, doctor=doctor)
    return write_steering(out, L2S, parameters, made)


def _details(contrast: Contrast, options: SteeringOptions, network: NetworkOptions) -> dict[str, Any]:
    """What the manifest says of the examples and of the network."""
    return {
        "rank": network.hidden,
        "epochs": network.epochs,
        "toward": described(contrast.toward.examples),
        "away": described(contrast.away.examples),
        "stay": described(contrast.stay),
        "read_at": contrast.read_at,
        "saying": sorted(contrast.toward.saying),
        "seed": options.seed,
    }


@dataclass(frozen=True)
class _Pairs:
    """What the network learns: from `contexts` to `targets`; `medians` are the median norms of the states."""

    contexts: Float[Tensor, "n d"]
    targets: Float[Tensor, "n d"]
    medians: dict[Layer, float]


@dataclass(frozen=True)
class _StateReader:
    """Reads states of examples."""

    lmm: LMM
    batch_size: int
    progress: Progress

    def read(self, chosen: ExampleSet, layer: Layer, positions: str) -> States:
        return example_states(
            self.lmm,
            chosen.examples,
            [layer],
            positions=positions,
            saying=chosen.saying,
            batch_size=self.batch_size,
            progress=self.progress,
        )


def _pairs(reader: _StateReader, contrast: Contrast, layer: Layer, context: Layer) -> _Pairs:
    """Contexts and targets of the examples of `away`, then those of the examples that should stay."""
    away = contrast.away.without_words()
    toward_states = reader.read(contrast.toward, layer, contrast.read_at)
    away_states = reader.read(away, layer, contrast.read_at)
    contexts = reader.read(away, context, "last").by_layer[context][list(away_states.examples)]
    targets = _targets(contrast, toward_states, away_states, layer)
    if contrast.stay:
        contexts = torch.cat([contexts, reader.read(ExampleSet(contrast.stay), context, "last").by_layer[context]])
        targets = torch.cat([targets, targets.new_zeros(len(contexts) - len(targets), targets.shape[1])])
    return _Pairs(contexts, targets, away_states.medians)


def _targets(contrast: Contrast, toward: States, away: States, layer: Layer) -> Float[Tensor, "n d"]:
    """For each row of `away`, the row of the same sample in `toward`, or the mean of `toward`, minus the row itself."""
    Z, mean = toward.by_layer[layer], toward.by_layer[layer].mean(0)
    of_sample: dict[str, Tensor] = {}
    for row, i in enumerate(toward.examples):
        of_sample.setdefault(contrast.toward.examples[i].sample.id, Z[row])
    goals = [of_sample.get(contrast.away.examples[i].sample.id, mean) for i in away.examples]
    return torch.stack(goals) - away.by_layer[layer]
