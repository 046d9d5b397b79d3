"""Watching a model while it generates: the states that predict each token, without another pass over what was said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vitrail.errors import ModelError
from vitrail.lmm.options import Layer


@dataclass(frozen=True)
class Spoken:
    """What one call of `generate` said, and the states behind it.

    Args:
        ids: (rows, n), the tokens that were generated, with end tokens and the padding after them, on the host.
        states: layer → n tensors (rows, features) on the model's device, in its dtype; tensor *j* is the state that
            predicts token *j*, so tensor *j + 1* is the one that reads it.
    """

    ids: Int[Tensor, "rows n"]
    states: Mapping[Layer, Sequence[Float[Tensor, "rows d"]]]

    def at(self, layer: Layer, rows: Sequence[int], steps: Sequence[int]) -> Float[Tensor, "m d"]:
        """The states of `layer` at m places: row `rows[i]` at step `steps[i]`."""
        of_layer = self.states[layer]
        return torch.stack([of_layer[step][row] for row, step in zip(rows, steps, strict=True)])


#: Is given what a call of `generate` said, or the error that says why its states cannot be told apart.
Told = Callable[["Spoken | ModelError"], None]


@dataclass
class _Recording:
    """A call of `generate` that has not ended: how many calls are around it, and what its passes read so far."""

    depth: int = 0
    ids: list[Tensor | None] = field(default_factory=list)
    states: dict[Layer, list[Tensor]] = field(default_factory=dict)


class Recorder:
    """Records the calls of `generate` of one model, each thread by itself, and tells of each when it has ended.

    A state belongs to a token if each pass after the first read exactly the token that the pass before it generated.
    That is checked for every call: it fails for beam search, for tokens that are guessed ahead, for prompts that are
    read in pieces, and for several requests in one pass.

    Args:
        layers: whose states are kept.
        told: is given each call that ended, or the error that says why it could not be followed.
    """

    def __init__(self, layers: Sequence[Layer], told: Told) -> None:
        self.layers, self.told = tuple(layers), told
        self._threads = threading.local()

    @property
    def _now(self) -> _Recording:
        if not hasattr(self._threads, "now"):
            self._threads.now = _Recording()
        return self._threads.now

    def begin(self) -> None:
        """A call of `generate` begins; one inside another belongs to it."""
        now = self._now
        if now.depth == 0:
            now = self._threads.now = _Recording(states={layer: [] for layer in self.layers})
        now.depth += 1

    def see_pass(self, ids: Tensor | None) -> None:
        """A pass begins, which reads `ids` (rows, positions); None where it was given embeddings."""
        now = self._now
        if now.depth:
            seen = len(now.states[self.layers[0]])
            del now.ids[seen:]  # a pass through an adapter enters twice
            now.ids.append(None if ids is None else ids[:, -1])

    def see_states(self, layer: Layer, states: Tensor) -> None:
        """The states (rows, positions, features) of a layer in this pass: the last position is kept."""
        now = self._now
        if now.depth:
            now.states[layer].append(states[:, -1].detach().clone())

    def end(self, result: Any) -> None:
        """A call of `generate` ends with `result`, None if it raised."""
        now = self._now
        now.depth -= 1
        if now.depth == 0:
            self._threads.now = _Recording()
            if result is not None:
                self.told(_spoken(now, getattr(result, "sequences", result)))


def _spoken(now: _Recording, sequences: Tensor) -> Spoken | ModelError:
    """What was said with the states behind it, or why they cannot be told apart."""
    n = len(now.ids)
    ids = sequences[:, sequences.shape[1] - n :].to("cpu") if n <= sequences.shape[1] else sequences[:, :0]
    counts = {len(kept) for kept in now.states.values()}
    rows = {len(state) for kept in now.states.values() for state in kept}
    read = [one for one in now.ids[1:] if one is not None]
    if n == 0 or counts != {n} or rows != {len(ids)} or ids.shape[1] != n or len(read) != n - 1:
        return ModelError(_CANNOT)
    if read and not torch.equal(torch.stack(read, dim=1).to("cpu"), ids[:, :-1]):
        return ModelError(_CANNOT)
    return Spoken(ids, now.states)


_CANNOT = (
    "The states of this generation cannot be told apart: each pass should read the one token of each row that the pass "
    "before it generated. Beam search, tokens guessed ahead, prompts read in pieces and continuous batching do not do "
    "so; generate without them while the model is watched."
)
