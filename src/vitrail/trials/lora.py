"""LoRA beside learned steering: as many parameters, the same examples, the same steps."""

from __future__ import annotations

import re
from contextlib import AbstractContextManager

from torch import nn

from vitrail.errors import UsageError
from vitrail.lmm import LMM
from vitrail.lmm.adapters import trainable_lora


def lora_of(
    lmm: LMM, budget: int, *, scale: float = 2.0, seed: int = 0
) -> AbstractContextManager[tuple[LMM, dict[str, nn.Parameter]]]:
    """The model under an untrained LoRA of at most `budget` parameters, and these; see `trainable_lora`.

    Rank 1, on the linear layers of the last block, then of the block before, and so on: where a steering with as many
    parameters is, too.

    Raises:
        ModelError: PEFT is not installed.
        UsageError: the budget is too small for a single layer.
    """
    names = _within(lmm, budget)
    return trainable_lora(lmm, "|".join(map(re.escape, names)), rank=1, scale=scale, seed=seed)


def _within(lmm: LMM, budget: int) -> list[str]:
    """Names of the linear layers whose rank-1 adapters fit in `budget`, from the last block down."""
    prefix, chosen = lmm.parts.names["blocks"], []
    for number in reversed(range(lmm.n_blocks)):
        for name, module in lmm.parts.blocks[number].named_modules():
            if isinstance(module, nn.Linear) and module.in_features + module.out_features <= budget:
                chosen.append(f"{prefix}.{number}.{name}")
                budget -= module.in_features + module.out_features
    if not chosen:
        raise UsageError(f"A budget of {budget} parameters is too small for one linear layer of {lmm.name}.")
    return chosen
