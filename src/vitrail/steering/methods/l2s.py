"""L2S (Parekh et al. 2025): a small network that predicts, from where a prompt ends, which vector to add."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vitrail.errors import UsageError
from vitrail.lmm import LMM, Layer
from vitrail.lmm.doctor import certificate
from vitrail.progress import Progress, silent
from vitrail.samples.examples import Example
from vitrail.steering.artifact import (
    Assignment,
    Content,
    Fit,
    Steering,
    SteeringMethod,
    finished,
    module_tensors,
    parameters_of,
    write_steering,
)
from vitrail.steering.contrast import Contrast, ExampleSet, described
from vitrail.steering.learned_functions import FromContext
from vitrail.steering.options import Application, SteeringOptions
from vitrail.steering.states import States, example_states
from vitrail.steering.tasks import answers_of

#: AdamW's rate and weight decay, examples in a batch, and the noise on the input, in units of its spread.
RATE, DECAY, BATCH, NOISE = 5e-4, 1.0, 64, 0.3
#: How many parts of the samples are held out in turn to choose the number of epochs, and the fewest samples
#: that are parted.
FOLDS, FEWEST = 5, 10
#: After so many epochs that did not lower the loss of the held-out samples, no more are tried.
PATIENCE = 30


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
    samples: Sequence[str],
    *,
    hidden: int = 100,
    epochs: int = 100,
    seed: int = 0,
) -> tuple[TwoLayer, Fit]:
    """L2S's `g` with `g(contexts) ≈ targets`, by the paper's loss: MSE + L1 − 0.1·cos; and how well it fits.

    The output layer begins as the directions that the targets have most in common. Targets are in units of their mean
    norm. The number of epochs is chosen by cross-validation: five networks, each without a fifth of the samples, are
    judged on it after every epoch. The network that is given is fitted to all samples for as many epochs. With fewer
    than `FEWEST` samples, all epochs are made.

    Args:
        samples: of each row, so that no sample is in both parts.
        hidden: width of the inner layer.
        epochs: passes over the examples, at most.
        seed: of the weights, the order, the noise, and the samples that are held out.

    Raises:
        UsageError: contexts and targets of different shapes, or targets that are all zero.
    """
    if contexts.shape != targets.shape or contexts.ndim != 2 or not targets.any():
        raise UsageError(
            f"Expected contexts and targets of one shape, and a target that is not zero; got {tuple(contexts.shape)} "
            f"and {tuple(targets.shape)}."
        )
    norms = targets.norm(dim=1)
    unit = norms[norms > 0].mean()
    pairs, shape = (contexts, targets / unit), (hidden, seed)
    folds, explained = _folds(samples, seed), None
    if folds:
        epochs, explained = _best_epoch(pairs, folds, shape, epochs)
    *_, g = _fitted(pairs, torch.ones(len(samples), dtype=torch.bool), shape, epochs)
    with torch.no_grad():
        found = Fit(epochs, _share(g(contexts), pairs[1]), explained)
    g.unit = unit
    return g.requires_grad_(False), found


#: Contexts and targets.
_Rows = tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]


def _best_epoch(
    pairs: _Rows, folds: Sequence[Bool[Tensor, " n"]], shape: tuple[int, int], epochs: int
) -> tuple[int, float]:
    """The epoch with the smallest loss on rows that are held out, over networks that each lack one of `folds`; and how
    much of the targets of these rows the networks then explain."""
    contexts, goal = pairs
    best, least, explained = 0, math.inf, 0.0
    everywhere = zip(*(_fitted(pairs, ~out, shape, epochs) for out in folds), strict=True)
    for epoch, networks in enumerate(everywhere, 1):
        with torch.no_grad():
            found = torch.zeros_like(goal)
            for out, g in zip(folds, networks, strict=True):
                found[out] = g(contexts[out])
        loss = float(_loss(found, goal))
        if loss < least:
            best, least, explained = epoch, loss, _share(found, goal)
        elif epoch - best >= PATIENCE:
            break
    return best, explained


def _fitted(pairs: _Rows, rows: Bool[Tensor, " n"], shape: tuple[int, int], epochs: int) -> Iterator[TwoLayer]:
    """The network after each epoch on some rows: always the same object. `shape` is its width and the seed."""
    contexts, goal = pairs[0][rows], pairs[1][rows]
    g, draw = _initial(contexts, goal, *shape), torch.Generator().manual_seed(shape[1])
    optimizer = torch.optim.AdamW(g.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(epochs):
        with torch.enable_grad():
            for part in torch.randperm(len(goal), generator=draw).split(BATCH):
                noise = NOISE * g.spread * torch.randn(len(part), contexts.shape[1], generator=draw)
                optimizer.zero_grad()
                _loss(g(contexts[part] + noise), goal[part]).backward()
                optimizer.step()
        yield g


def _share(found: Float[Tensor, "n d"], goal: Float[Tensor, "n d"]) -> float:
    """The share of the variance of `goal` around its mean that `found` explains."""
    left, all_of_it = (found - goal).square().sum(), (goal - goal.mean(0)).square().sum()
    return 1 - float(left / all_of_it.clamp_min(1e-30))


def _folds(samples: Sequence[str], seed: int) -> list[Bool[Tensor, " n"]]:
    """The rows of each fifth of the samples; none where there are few samples."""
    ids = sorted(set(samples))
    if len(ids) < FEWEST:
        return []
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(seed)).tolist()
    fold = {ids[i]: place % FOLDS for place, i in enumerate(order)}
    return [torch.tensor([fold[sample] == k for sample in samples]) for k in range(FOLDS)]


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
        UsageError: several layers, or a task whose answers have no opposite.
        DataError: the samples do not show the task.
    """
    contrast, options = _contrast(assignment), assignment.options
    return learn_from_pairs(assignment.lmm, contrast, options, out=assignment.out, progress=assignment.progress)


def _contrast(assignment: Assignment) -> Contrast:
    """The pairs that the options ask for, with the positions at which they are read."""
    task, samples, options = assignment.task, assignment.samples, assignment.options
    match options.targets:
        case "answers":
            return assignment.contrast()
        case "prompts":
            plain = task.asked_plainly(samples)
            asking = [Example(task.asked(e.sample), e.answer) for e in plain]
            found = replace(task.contrast(samples), toward=ExampleSet(asking), away=ExampleSet(plain), read_at="last")
        case "forced":
            found = answers_of(task).forced(samples)
        case "truth":
            found = answers_of(task).opposites(samples)
    return found if options.read_at is None else replace(found, read_at=options.read_at)


L2S = SteeringMethod(
    "l2s",
    "a vector for every input, predicted from where its prompt ends",
    add_from_context,
    make_from_task,
    module=TwoLayer,
    constants=("centre", "spread", "unit"),
    details=("rank", "context"),
    options=("saying", "read_at", "targets", "hidden", "epochs", "context"),
)


def learn_from_pairs(
    lmm: LMM,
    contrast: Contrast,
    options: SteeringOptions | None = None,
    *,
    out: str | Path,
    progress: Progress = silent,
) -> Steering:
    """L2S at one layer: a network that predicts, from where a prompt ends, which vector to add.

    The target of an example of `contrast.away` is the state of the same sample in `contrast.toward` minus its own, or,
    where the sample is not in `toward`, the mean of `toward` minus its own. The target of `contrast.stay`, whose
    answers should stay, is zero. The two sets may differ in their answers (paired states), or in their requests
    (prompt-to-steer, as published).

    Args:
        options: the layer, the positions that will be changed, the layer that the network reads (the state at the end
            of the prompt), its width, its epochs, the seed.

    Raises:
        UsageError: several layers.
        DataError: no example has a selected position.
        ArtifactError: `out` holds another steering.
    """
    options, out = options or SteeringOptions(), Path(out)
    if len(options.layers) != 1:
        raise UsageError(f"L2S is made for one layer at a time; got {list(options.layers)}.")
    (layer,) = map(lmm.layer, options.layers)
    read_from = layer if options.context is None else lmm.layer(options.context)
    parameters = parameters_of(
        L2S, lmm, (layer,), options.applied_at, {"context": read_from, **_details(contrast, options)}
    )
    if there := finished(out, L2S, parameters):
        return there
    doctor = certificate(lmm, [e.sample for e in contrast.away.examples[:2]])
    start = time.perf_counter()
    pairs = _pairs(_StateReader(lmm, options.batch_size, progress), contrast, layer, read_from)
    g, fit = fit_two_layer(
        pairs.contexts,
        pairs.targets,
        pairs.samples,
        hidden=options.hidden,
        epochs=options.epochs,
        seed=options.seed,
    )
    seconds = time.perf_counter() - start
    made = Content(module_tensors(layer, g), pairs.medians, seconds=seconds, doctor=doctor, fit=fit)
    return write_steering(out, L2S, parameters, made)


def _details(contrast: Contrast, options: SteeringOptions) -> dict[str, Any]:
    """What the manifest says of the examples and of the network."""
    return {
        "rank": options.hidden,
        "epochs": options.epochs,
        "toward": described(contrast.toward.examples),
        "away": described(contrast.away.examples),
        "stay": described(contrast.stay),
        "read_at": contrast.read_at,
        "saying": sorted(contrast.toward.saying),
        "seed": options.seed,
    }


@dataclass(frozen=True)
class _Pairs:
    """What the network learns: from `contexts` to `targets`, of `samples`; `medians` are the median norms of states."""

    contexts: Float[Tensor, "n d"]
    targets: Float[Tensor, "n d"]
    samples: tuple[str, ...]
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
    samples = (
        *(contrast.away.examples[i].sample.id for i in away_states.examples),
        *(e.sample.id for e in contrast.stay),
    )
    return _Pairs(contexts, targets, samples, away_states.medians)


def _targets(contrast: Contrast, toward: States, away: States, layer: Layer) -> Float[Tensor, "n d"]:
    """For each row of `away`, the row of the same sample in `toward`, or the mean of `toward`, minus the row itself."""
    Z, mean = toward.by_layer[layer], toward.by_layer[layer].mean(0)
    of_sample: dict[str, Tensor] = {}
    for row, i in enumerate(toward.examples):
        of_sample.setdefault(contrast.toward.examples[i].sample.id, Z[row])
    goals = [of_sample.get(contrast.away.examples[i].sample.id, mean) for i in away.examples]
    return torch.stack(goals) - away.by_layer[layer]
