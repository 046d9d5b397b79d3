"""Mixtures of experts: which experts of each block work on a token.

In transformers the experts of a block are a module of their own, which is given the states of all tokens in one row and
`top_k_index`, the numbers of the experts that work on each. So they are found by what they are given, not by a name.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import nn

from vitrail.errors import ModelError, UsageError
from vitrail.lmm import hooks
from vitrail.lmm.batches import Batch
from vitrail.lmm.positions import forced
from vitrail.lmm.torch_backend import TorchBackend

#: The name under which experts are told which of them work.
_INDEX = "top_k_index"
#: For each block of the decoder, from the first on, the experts that work on a token; none for a block without any.
Experts: TypeAlias = "tuple[tuple[int, ...], ...]"


def expert_blocks(backend: TorchBackend) -> dict[int, nn.Module]:
    """Number of a block, from 0 → the module of its experts.

    Raises:
        UsageError: the model has no experts.
    """
    found = {
        k: module
        for k, block in enumerate(backend.parts.blocks)
        for module in block.modules()
        if _INDEX in inspect.signature(module.forward).parameters
    }
    if not found:
        raise UsageError(f"This {backend.kind} has no mixture of experts whose routing is known; leave out experts.")
    return found


@torch.inference_mode()
def experts_of(
    backend: TorchBackend,
    inputs: Batch,
    continuations: Sequence[Sequence[int]],
    positions: Sequence[int],
    rows: Sequence[int],
) -> list[Experts]:
    """The experts that work on the tokens at some positions, in the order in which the router gives them.

    Args:
        inputs: a batch made by `prepare`.
        continuations: for each row of the batch the token ids that follow its prompt.
        positions: in prompts and continuations, the padding counted.
        rows: of the batch, one for each position.

    Raises:
        UsageError: the model has no experts.
        ModelError: the experts of a block did not run once in a pass, or are not told of every token.
    """
    batch, blocks = backend.extended(inputs, continuations), expert_blocks(backend)
    told: dict[int, list[torch.Tensor]] = {k: [] for k in blocks}
    with forced(inputs["input_ids"].shape[1]), ExitStack() as stack:
        for k, module in blocks.items():
            stack.enter_context(hooks.passes([module], partial(_keep, told[k])))
        backend.run(batch)
    n, width = batch["input_ids"].shape
    chosen: dict[int, torch.Tensor] = {}
    for k, passes in told.items():
        if len(passes) != 1 or len(passes[0]) % n:
            raise ModelError(
                f"The experts of block {k} were told of {[len(p) for p in passes]} tokens; in a pass over {n} rows "
                f"of {width} positions they are told once, of all."
            )
        each = passes[0].reshape(n, -1, passes[0].shape[-1])
        # from the end: a model may put its image before the text
        chosen[k] = each[torch.as_tensor(rows), torch.as_tensor(positions) - width]
    return [
        tuple(tuple(chosen[k][i].tolist()) if k in chosen else () for k in range(len(backend.parts.blocks)))
        for i in range(len(positions))
    ]


def _keep(told: list[torch.Tensor], given: dict[str, Any]) -> None:
    """Keeps (tokens, k), the numbers of the experts that are given."""
    index = given[_INDEX]
    told.append(index.detach().reshape(-1, index.shape[-1]).cpu())
