"""A photograph and all its captions in one row: what they share is computed once.

A row is: start token, image positions, prompt, caption 1, caption 2, …, padding. A caption sees what stands before all
captions, and itself; the places of every caption are counted from the end of the prompt. So each has the states that it
would have alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: What stands before the captions, and padding, in `segments`.
SHARED, PADDING = 0, -1


@dataclass(frozen=True)
class Packed:
    """A batch of rows, and where each token of a caption is predicted from.

    Args:
        ids: (rows, width) token ids; 0 where the image and the padding are.
        places: (rows, width) the place of each token in its own text.
        allowed: (rows, 1, width, width) whether a token (third) sees another (fourth).
        row: (tokens,) the row of each predicted token.
        caption: (tokens,) which caption of the row it belongs to.
        column: (tokens,) the place in the row of the state that predicts it.
        target: (tokens,) the token.
    """

    ids: Tensor
    places: Tensor
    allowed: Tensor
    row: Tensor
    caption: Tensor
    column: Tensor
    target: Tensor

    def to(self, device: str | torch.device) -> Packed:
        """The same batch on another device."""
        return Packed(**{name: value.to(device, non_blocking=True) for name, value in vars(self).items()})


def pack(
    captions: Sequence[Sequence[Sequence[int]]], *, positions: int, start: int, prompt: list[int], end: int
) -> Packed:
    """The captions of each photograph in one row.

    Args:
        captions: for each photograph its captions as token ids, without the end token.
        positions: of the image.
        start: the token that begins a row.
        prompt: the tokens between image and captions.
        end: the token that ends a caption, which is predicted and never read.
    """
    before = 1 + positions + len(prompt)
    rows, width = len(captions), before + max(sum(map(len, each)) for each in captions)
    ids = torch.zeros(rows, width, dtype=torch.long)
    places = torch.zeros(rows, width, dtype=torch.long)
    segments = torch.full((rows, width), PADDING)
    ids[:, 0] = start
    ids[:, 1 + positions : before] = torch.tensor(prompt, dtype=torch.long)
    places[:, :before] = torch.arange(before)
    segments[:, :before] = SHARED
    row, which, column, target = [], [], [], []
    for i, each in enumerate(captions):
        at = before
        for k, caption in enumerate(each):
            n = len(caption)
            ids[i, at : at + n] = torch.tensor(caption, dtype=torch.long)
            places[i, at : at + n] = torch.arange(before, before + n)
            segments[i, at : at + n] = k + 1
            row += [i] * (n + 1)
            which += [k] * (n + 1)
            column += [before - 1, *range(at, at + n)]
            target += [*caption, end]
            at += n
    predicted = (torch.tensor(values) for values in (row, which, column, target))
    return Packed(ids, places, visible(segments), *predicted)


def visible(segments: Tensor) -> Tensor:
    """(rows, 1, width, width): each token sees itself, and before it what is shared and its own segment."""
    width = segments.shape[1]
    seen, sees = segments[:, None, :], segments[:, :, None]
    earlier = torch.ones(width, width, dtype=torch.bool).tril()
    allowed = earlier & ((seen == SHARED) | (seen == sees)) & (sees != PADDING)
    return (allowed | torch.eye(width, dtype=torch.bool))[:, None]
