"""Models that are not of transformers: what one must be able to do, and how it becomes an LMM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, Protocol, runtime_checkable

import torch
from PIL import Image
from torch import Tensor, nn

from vitrail.errors import ModelError
from vitrail.lmm.description import ModelDescription
from vitrail.lmm.model import LMM
from vitrail.lmm.parts import Parts, place
from vitrail.lmm.prompts import DEFAULT_PROMPT


@runtime_checkable
class Captioner(Protocol):
    """A torch module that speaks of images, in seven members.

    `blocks` are the decoder's blocks, which write to the residual stream one after the other; `norm` and `unembedding`
    are all that stands between the last of them and the logits (`nn.Identity()` for a norm that is not there).
    `tokenizer` is a tokenizer of transformers, or has what is used of one: `encode`, `decode`, `get_vocab`,
    `all_special_ids`, `eos_token_id`, `pad_token_id`.
    """

    blocks: nn.ModuleList
    norm: nn.Module
    unembedding: nn.Module
    tokenizer: Any

    def prepare(self, images: Sequence[Image.Image], requests: Sequence[str]) -> dict[str, Tensor]:
        """A batch: `input_ids` and `attention_mask` (batch, P), the text that is gone on with, padded on the left;
        and whatever else `forward` wants of the images."""
        ...

    def generate(self, inputs: dict[str, Tensor], max_new_tokens: int) -> Tensor:
        """(batch, at most max_new_tokens) ids: the greedy continuations, with or without the P ids before them."""
        ...

    def __call__(self, **inputs: Tensor) -> Any:
        """Logits (batch, positions, vocabulary), or something with `.logits`, for a batch of `prepare` whose
        `input_ids` and `attention_mask` may have been continued on the right."""
        ...


@dataclass
class Adopted(LMM):
    """An LMM around a `Captioner`. Made by `adopt`."""

    @property
    def n_features(self) -> int:
        return int(next(self.parts.unembedding.parameters()).shape[-1])

    @property
    def dtype(self) -> str:
        return str(place(self.model)[1]).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        return place(self.model)[0]

    @property
    def family(self) -> str:
        return type(self.model).__name__

    @property
    def modules(self) -> dict[str, str]:
        return self.parts.names

    def describe(self) -> ModelDescription:
        return replace(super().describe(), kind=f"{type(self.model).__module__}.{type(self.model).__qualname__}")

    def prepare(self, images: Sequence[Image.Image], requests: Sequence[str]) -> dict[str, Tensor]:
        batch = self.model.prepare(list(images), list(requests))
        missing = {"input_ids", "attention_mask"} - set(batch)
        if missing:
            raise ModelError(
                f"{self.name}.prepare should give input_ids and attention_mask; {sorted(missing)} missing."
            )
        if not (batch["attention_mask"][:, -1] == 1).all():
            raise ModelError(f"{self.name}.prepare should pad on the left; the last column of its mask has zeros.")
        return batch

    def run(self, batch: dict[str, Tensor], output_hidden_states: bool = False) -> Any:
        out = self.model(**batch)
        return SimpleNamespace(logits=out) if isinstance(out, Tensor) else out

    @property
    def image_token(self) -> int | None:
        return None

    @property
    def _translates(self) -> bool:
        return False

    def _entrances(self) -> list[nn.Module]:
        return [self.model]

    def _answer_ids(self, request: str, answer: str) -> list[int]:
        end = self.tokenizer.eos_token_id
        return [*self.tokenizer.encode(answer, add_special_tokens=False), *([] if end is None else [end])]

    def _greedy(self, inputs: dict[str, Tensor], max_new_tokens: int) -> Tensor:
        return self.model.generate(inputs, max_new_tokens)

    def _ends(self) -> set[int]:
        return {i for i in (self.tokenizer.eos_token_id, self.tokenizer.pad_token_id) if i is not None}

    def _said(self, logits: Tensor) -> Tensor:
        return logits


def adopt(captioner: nn.Module, name: str, *, prompt: str = DEFAULT_PROMPT) -> Adopted:
    """An LMM around a model that is not of transformers; it is put in evaluation mode and asks for no gradient.

    Args:
        captioner: a module that is a `Captioner`.
        name: what manifests call it.
        prompt: the request for a caption that its `prepare` is given.

    Raises:
        ModelError: members of `Captioner` are missing, or blocks, norm and unembedding are no parts of the module.
    """
    if not isinstance(captioner, Captioner) or not isinstance(captioner, nn.Module):
        members = ("blocks", "norm", "unembedding", "tokenizer", "prepare", "generate", "forward")
        missing = [m for m in members if not hasattr(captioner, m)] or ["it is no torch module"]
        raise ModelError(f"{type(captioner).__name__} is no vitrail.lmm.Captioner; missing: {', '.join(missing)}.")
    names = {id(m): n for n, m in captioner.named_modules()}
    found: dict[str, nn.Module] = {part: getattr(captioner, part) for part in ("blocks", "norm", "unembedding")}
    lost = [part for part, m in found.items() if id(m) not in names and not isinstance(m, nn.Identity)]
    if lost or not len(captioner.blocks):
        raise ModelError(f"{', '.join(lost) or 'blocks'} of {type(captioner).__name__} should be modules inside it.")
    captioner.eval().requires_grad_(False)
    named = {part: names.get(id(m), "none") for part, m in found.items()}
    parts = Parts(captioner.blocks, captioner.norm, captioner.unembedding, named)
    return Adopted(captioner, captioner, name, parts, prompt=prompt)
