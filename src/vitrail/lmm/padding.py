"""Whether padding moves the positions at which a model speaks: found on the model itself, not in a list of names.

Most models count positions without the padding on the left. Some that generate by themselves count it once they have a
cache (Kosmos-2): then a row that was padded is spoken at other positions than the same row alone. Some count it always
(BLIP, where it is read): then rows of unequal length cannot go through it together.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from PIL import Image
from torch import Tensor

from vitrail.lmm import batches, hooks
from vitrail.lmm.batches import Batch
from vitrail.lmm.parts import speaker
from vitrail.lmm.positions import forced
from vitrail.lmm.torch_backend import TorchBackend

log = logging.getLogger(__name__)

#: Runs a model on a batch.
Run: TypeAlias = Callable[[TorchBackend, Batch], None]
#: When padding moves positions.
Moved = Literal["never", "speaking", "always"]
#: The largest relative error of states that padding may make by rounding, by the dtype of the weights.
TOLERANCE = {"float32": 1e-3, "float16": 2e-2}
#: How many tokens are spoken to see it: the first comes from the prompt, which is read without a cache.
STEPS = 3


def counts_by_itself(base: torch.nn.Module) -> bool:
    """Whether a model is not given the positions of its tokens: it, or what generates inside it, counts them."""
    return speaker(base) is not base or "position_ids" not in inspect.signature(base.forward).parameters


def moved_by_padding(backend: TorchBackend, image: Image.Image, requests: tuple[str, str]) -> Moved:
    """When a padded row has other states in its batch than alone; "speaking" where that cannot be seen, since rows that
    are generated apart are right in any case.

    Args:
        backend: of a model that counts positions by itself.
        image: any.
        requests: of unequal length.
    """
    most = TOLERANCE.get(backend.dtype, 1e-1)
    try:
        inputs = backend.prepare([image, image], requests)
        apart = batches.of_equal_length(inputs)
        if len(apart) == 1:
            return "never"
        if _error(backend, inputs, apart[0], _read) > most:
            return "always"
        return "speaking" if _error(backend, inputs, apart[0], _spoken) > most else "never"
    except Exception as error:  # whatever a processor or a model raises for these requests
        log.debug("it cannot be seen whether padding moves positions of %s: %s", backend.kind, error)
        return "speaking"


@torch.inference_mode()
def _error(backend: TorchBackend, inputs: Batch, rows: list[int], run: Run) -> float:
    """The largest relative error that the padding of `rows` makes in what the last block gives, while `run` runs."""
    together = _last(backend, inputs, run)[:, rows]
    alone = _last(backend, batches.without_padding(inputs, rows), run)
    n = min(len(together), len(alone))
    return float((together[:n] - alone[:n]).abs().max() / alone[:n].abs().max().clamp_min(1e-9))


def _last(backend: TorchBackend, inputs: Batch, run: Run) -> Tensor:
    """(passes, rows, features) float32: what the last block gives at the last position of each pass."""
    kept: list[Tensor] = []
    last = {"last": backend.parts.blocks[-1]}
    width = inputs["input_ids"].shape[1]
    with hooks.watch(last, lambda _, states: kept.append(states[:, -1].float().cpu())), forced(width):
        run(backend, inputs)
    return torch.stack(kept)


def _read(backend: TorchBackend, inputs: Batch) -> None:
    backend.run(inputs)


def _spoken(backend: TorchBackend, inputs: Batch) -> None:
    backend._greedy(inputs, STEPS)
