"""Passes whose graph is kept: how states change with what the model sees of an image, or with states of lower layers.

What it sees enters at the pixels that its processor gives, or at the output of its connector (`trace`). A pass from
there to some states, or from some layers to the last one (`onward`), can be differentiated; the model's weights take no
gradient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitrail.errors import ModelError
from vitrail.lmm import hooks
from vitrail.lmm.batches import Batch
from vitrail.lmm.options import Layer
from vitrail.lmm.parts import unwrapped
from vitrail.lmm.positions import forced
from vitrail.lmm.sight import modules_of, pixels_of
from vitrail.lmm.torch_backend import TorchBackend

#: Where what a model sees of an image enters: the pixels of its processor, or what its connector puts out.
Entrance = Literal["pixels", "connector"]


@dataclass(frozen=True)
class Asked:
    """What goes through the model, and which states are wanted of it.

    Args:
        inputs: a batch made by `prepare`, of images of one size.
        continuations: the token ids that follow each prompt; they are teacher-forced.
        positions: of each row one position in prompt and continuation.
        layers: whose states are wanted, by their own names.
    """

    inputs: Batch
    continuations: Sequence[Sequence[int]]
    positions: Sequence[int]
    layers: Sequence[Layer]


@dataclass(frozen=True)
class Traced:
    """A pass whose graph is kept.

    Args:
        entered: (batch, …): what entered for each image.
        states: layer → (batch, features).
    """

    entered: Float[Tensor, "batch ..."]
    states: dict[Layer, Float[Tensor, "batch d"]]

    def back(self, gradients: Mapping[Layer, Float[Tensor, "targets batch d"]]) -> Float[Tensor, "targets batch ..."]:
        """The derivatives of some targets by what entered, from their derivatives by the states, in float32.

        Raises:
            ModelError: no derivative reaches the entrance, as where a codebook stands in between.
        """
        layers = list(gradients)
        n = len(gradients[layers[0]])
        found = []
        for i in range(n):  # `is_grads_batched` takes as long: the attention's backward pass is not batched
            reached = all(self.states[layer].requires_grad for layer in layers)
            (grad,) = (
                torch.autograd.grad(
                    [self.states[layer] for layer in layers],
                    self.entered,
                    [gradients[layer][i].to(self.states[layer]) for layer in layers],
                    retain_graph=i + 1 < n,
                    allow_unused=True,
                )
                if reached
                else (None,)
            )
            if grad is None:
                raise ModelError(
                    "No derivative goes from the states of this model back to its image. Use the method occlusion."
                )
            found.append(grad.float())
        return torch.stack(found)


def trace(
    backend: TorchBackend, asked: Asked, entrance: Entrance, values: Float[Tensor, "batch ..."] | None = None
) -> Traced:
    """A pass whose graph is kept from the entrance to the states.

    Args:
        values: what enters, in the shape of `Traced.entered`; for None what the images give.

    Raises:
        ModelError: the model takes no pixels, or its connector did not run once, or does not give a tensor.
        UsageError: no connector was found.
    """
    batch, width = backend.extended(asked.inputs, asked.continuations), asked.inputs["input_ids"].shape[1]
    n, rows = len(asked.positions), torch.arange(len(asked.positions))
    places = torch.as_tensor(asked.positions) - batch["input_ids"].shape[1]
    entered: list[Tensor] = []

    def enter(shape_of: Tensor) -> Tensor:
        """What goes on in place of `shape_of`; what is differentiated stands before it, one row for each image."""
        leaf = shape_of if values is None else values.to(shape_of)
        leaf = leaf.detach().reshape(n, -1, *shape_of.shape[1:]).requires_grad_()
        entered.append(leaf)
        return leaf.reshape(shape_of.shape)

    with torch.enable_grad(), _without_weights(backend.model), forced(width), ExitStack() as stack:
        if entrance == "pixels":
            name, pixels = pixels_of(batch)
            batch = {**batch, name: enter(pixels)}
        else:
            (module,) = modules_of(backend, ["connector"]).values()
            modules = {"connector": unwrapped(backend.model).get_submodule(module)}
            change = partial(lambda _name, states: enter(states))
            stack.enter_context(hooks.edit(modules, change, states_of=_tensor))
        wanted = {str(layer): backend._module(layer) for layer in asked.layers}
        captured = stack.enter_context(
            hooks.capture(
                wanted,
                lambda states: states[rows.to(states.device), places.to(states.device)],
                inputs=frozenset({"0"} & wanted.keys()),
                graph=True,
            )
        )
        backend.run(batch)
    if len(entered) != 1:
        raise ModelError(f"Expected the connector to run once in a pass; it ran {len(entered)} times.")
    return Traced(entered[0], {layer: captured[str(layer)] for layer in asked.layers})


@dataclass(frozen=True)
class Onward:
    """A pass whose graph is kept from some layers to the last block.

    Args:
        states: layer → (batch, positions, features), what is differentiated by.
        last: (batch, features), what the last block puts out at one position of each row, before the final norm.
        width: positions of prompts and continuations; a model may put its image before them.
    """

    states: dict[Layer, Float[Tensor, "batch all d"]]
    last: Float[Tensor, "batch d"]
    width: int

    def back(self, directions: Float[Tensor, "batch d"]) -> dict[Layer, Float[Tensor, "batch positions d"]]:
        """Layer → how the product of each row's direction with its last state changes with the states there."""
        found = torch.autograd.grad(self.last, list(self.states.values()), directions.to(self.last), retain_graph=True)
        return {layer: grad[:, -self.width :] for layer, grad in zip(self.states, found, strict=True)}


def onward(backend: TorchBackend, asked: Asked) -> Onward:
    """A pass whose graph is kept from `asked.layers`, blocks before the last or the embeddings, to the last block.

    Raises:
        ModelError: a block did not run once.
    """
    batch, width = backend.extended(asked.inputs, asked.continuations), asked.inputs["input_ids"].shape[1]
    rows, length = torch.arange(len(asked.positions)), batch["input_ids"].shape[1]
    places = torch.as_tensor(asked.positions) - length
    names = {str(layer): layer for layer in asked.layers}
    kept: dict[Layer, Tensor] = {}

    def keep(name: str, states: Tensor) -> Tensor:
        """What goes on in place of `states`: a copy, since a model may write into it."""
        kept[names[name]] = states if states.requires_grad else states.detach().requires_grad_()
        return kept[names[name]].clone()

    modules = {name: backend._module(layer) for name, layer in names.items()}
    with (
        torch.enable_grad(),
        _without_weights(backend.model),
        forced(width),
        hooks.edit(modules, keep, inputs=frozenset({"0"} & names.keys())) as edits,
        hooks.capture(
            {"last": backend.parts.blocks[-1]},
            lambda states: states[rows.to(states.device), places.to(states.device)],
            graph=True,
        ) as captured,
    ):
        backend.run(batch)
    if any(n != 1 for n in edits.calls.values()):
        raise ModelError(f"Expected every block to run once in a pass; these ran otherwise: {edits.calls}.")
    return Onward({layer: kept[layer] for layer in asked.layers}, captured["last"], length)


def _tensor(output: object, where: str) -> Tensor:
    tensor = output[0] if isinstance(output, tuple) and output else output
    if not isinstance(tensor, Tensor):
        raise ModelError(f"Expected a tensor from {where}; it returned {type(tensor).__name__}.")
    return tensor


@contextmanager
def _without_weights(model: nn.Module) -> Iterator[None]:
    """Within the block no weight of the model takes a gradient."""
    taking = [p for p in model.parameters() if p.requires_grad]
    for parameter in taking:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in taking:
            parameter.requires_grad_(True)
