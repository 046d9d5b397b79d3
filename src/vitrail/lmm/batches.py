"""A batch: what a model is given for some images with a request each, as a dictionary of tensors.

`input_ids` and `attention_mask` (batch, P) are the text that the model continues, padded on the left: the prompt, or
the first token of the decoder where an encoder reads the prompt (then the prompt is under `encoder_input_ids` and
`encoder_attention_mask`). Every other entry is what the model needs of the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from vitrail.lmm.families import NOT_PER_TOKEN

Batch: TypeAlias = "dict[str, Tensor]"


def is_per_token(name: str, value: Any, batch: Batch) -> bool:
    """Whether the entry `name` has one value per token of the text that is continued."""
    return (
        isinstance(value, Tensor)
        and not value.is_floating_point()
        and value.shape[:2] == batch["input_ids"].shape
        and name not in NOT_PER_TOKEN
        and not name.startswith("encoder_")
    )


def padded_first(batch: Batch) -> Batch:
    """The batch with its padding before everything else; some processors put the image before it (BLIP-2)."""
    order = batch["attention_mask"].sort(dim=1, stable=True).indices
    per_token = [name for name, value in batch.items() if is_per_token(name, value, batch) and value.ndim == 2]
    return batch | {name: batch[name].gather(1, order) for name in per_token}


def without_padding(batch: Batch, rows: Sequence[int]) -> Batch:
    """Some rows of a batch, which are of equal length, without their padding."""
    padded = int((batch["attention_mask"][rows[0]] == 0).sum())
    per_token = {name for name, value in batch.items() if is_per_token(name, value, batch)}
    return {name: value[rows, padded:] if name in per_token else value[rows] for name, value in batch.items()}


def of_equal_length(batch: Batch) -> list[list[int]]:
    """The rows of a batch, grouped by the length of their text."""
    lengths = batch["attention_mask"].sum(1).tolist()
    return [[i for i, n in enumerate(lengths) if n == length] for length in sorted(set(lengths))]


def extended(batch: Batch, continuations: Sequence[Sequence[int]], *, fill: int, marked: bool = False) -> Batch:
    """`batch` with token ids after the prompts, padded on the right, where causality hides the padding.

    Args:
        continuations: for each row the token ids that follow its prompt.
        fill: the id that pads.
        marked: whether the answer has a mark of 1 in `token_type_ids`.
    """
    width = max(map(len, continuations), default=0)
    ids = torch.tensor([[*c, *[fill] * (width - len(c))] for c in continuations], dtype=torch.long)
    real = torch.tensor([[1] * len(c) + [0] * (width - len(c)) for c in continuations], dtype=torch.long)
    added = {"input_ids": ids, "attention_mask": real}
    if marked:
        added["token_type_ids"] = torch.ones_like(ids)
    return {
        name: _continued(value, added.get(name, torch.zeros_like(ids))) if is_per_token(name, value, batch) else value
        for name, value in batch.items()
    }


def _continued(value: Tensor, added: Tensor) -> Tensor:
    """(batch, P, …) with `added` (batch, width) after it."""
    if value.ndim > 2:  # which images a token may look at: as the last one of the prompt
        added = value[:, -1:].expand(-1, added.shape[1], *value.shape[2:])
    return torch.cat([value, added.to(value.device, value.dtype)], dim=1)
