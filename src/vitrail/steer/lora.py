"""LoRA beside learned steering: as many parameters, the same examples, the same steps."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from vitrail.errors import ModelError, UsageError
from vitrail.lmm import LMM


@contextmanager
def lora(lmm: LMM, budget: int, *, scale: float = 2.0, seed: int = 0) -> Iterator[tuple[LMM, dict[str, nn.Parameter]]]:
    """The model with an untrained LoRA of at most `budget` parameters, and these; afterwards it is as before.

    Rank 1, on the linear layers of the last block, then the one before, and so on: where a steering of as many
    parameters sits, too.

    Raises:
        ModelError: PEFT is not installed.
        UsageError: the budget is too small for a single layer.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise ModelError("LoRA needs PEFT: pip install 'vitrail[peft]'.") from error
    names = _within(lmm, budget)
    config = LoraConfig(r=1, lora_alpha=scale, lora_dropout=0.0, target_modules="|".join(map(re.escape, names)))  # type: ignore[arg-type]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        with warnings.catch_warnings():  # PEFT asks transformers by a name that is going out of use
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing", category=FutureWarning)
            wrapped = get_peft_model(lmm.model, config)
    try:
        yield replace(lmm, model=wrapped), {n: p for n, p in wrapped.named_parameters() if p.requires_grad}
    finally:
        wrapped.unload()
        lmm.model.eval().requires_grad_(False)


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
