"""Models that are not of transformers: what one must be able to do, and how it becomes an LMM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol, final, runtime_checkable

import torch
from PIL import Image
from torch import Tensor, nn

from vitrail.errors import ModelError
from vitrail.lmm.backend import Generation
from vitrail.lmm.batches import Batch
from vitrail.lmm.families import DEFAULT_PROMPT
from vitrail.lmm.generating import Ending
from vitrail.lmm.model import LMM
from vitrail.lmm.parts import ABSENT, Parts, place, unwrapped
from vitrail.lmm.torch_backend import TorchBackend


@runtime_checkable
class Captioner(Protocol):
    """A torch module that speaks about images, in seven members.

    `blocks` are the decoder's blocks, which write to the residual stream one after the other; `norm` and `unembedding`
    are all that stands between the last of them and the logits (`nn.Identity()` for a norm that is not there).
    `tokenizer` is a tokenizer of transformers, or has what is used of one: `encode`, `decode`, `get_vocab`,
    `all_special_ids`, `eos_token_id`, `pad_token_id`.
    """

    blocks: nn.ModuleList
    norm: nn.Module
    unembedding: nn.Module
    tokenizer: Any

    def prepare(self, images: Sequence[Image.Image], requests: Sequence[str]) -> Batch:
        """A batch: `input_ids` and `attention_mask` (batch, P), the text that is continued, padded on the left; and
        everything else that `forward` needs of the images."""
        ...

    def generate(self, inputs: Batch, max_new_tokens: int) -> Tensor:
        """(batch, at most max_new_tokens) ids: the greedy continuations, with or without the P ids before them."""
        ...

    def __call__(self, **inputs: Tensor) -> Any:
        """Logits (batch, positions, vocabulary), or something with `.logits`, for a batch of `prepare` whose
        `input_ids` and `attention_mask` may have been continued on the right."""
        ...


#: The names of what a `Captioner` has.
MEMBERS = ("blocks", "norm", "unembedding", "tokenizer", "prepare", "generate", "forward")


@final
@dataclass(frozen=True, eq=False)
class CaptionerBackend(TorchBackend):
    """A `Captioner` as a backend. Made by `adopt`."""

    @property
    def _captioner(self) -> Any:
        return unwrapped(self.model)

    @property
    def tokenizer(self) -> Any:
        return self._captioner.tokenizer

    @property
    def family(self) -> str:
        return type(self._captioner).__name__

    @property
    def kind(self) -> str:
        return f"{type(self._captioner).__module__}.{type(self._captioner).__qualname__}"

    @property
    def n_features(self) -> int:
        return int(next(self.parts.unembedding.parameters()).shape[-1])

    @property
    def dtype(self) -> str:
        return str(place(self.model)[1]).removeprefix("torch.")

    @property
    def device(self) -> torch.device:
        return place(self.model)[0]

    def prepare(self, images: Sequence[Image.Image], requests: Sequence[str]) -> Batch:
        batch = self._captioner.prepare(list(images), list(requests))
        missing = {"input_ids", "attention_mask"} - set(batch)
        if missing:
            raise ModelError(
                f"{self.family}.prepare should give input_ids and attention_mask; {sorted(missing)} missing."
            )
        if not (batch["attention_mask"][:, -1] == 1).all():
            raise ModelError(f"{self.family}.prepare should pad on the left; the last column of its mask has zeros.")
        return batch

    def run(self, batch: Batch, output_hidden_states: bool = False) -> Any:
        out = self.model(**batch)
        return SimpleNamespace(logits=out) if isinstance(out, Tensor) else out

    def generation(self, ids: Sequence[int]) -> Generation:
        """As for any backend; padding after an answer without an end token is left out, too."""
        found, pad = list(ids), self.tokenizer.pad_token_id
        while found and found[-1] == pad and not self.ends & set(found):
            found.pop()
        return super().generation(found)

    def _greedy(self, inputs: Batch, max_new_tokens: int, ending: Ending | None = None) -> Tensor:
        return self._captioner.generate(inputs, max_new_tokens)


def adopt(captioner: nn.Module, name: str, *, prompt: str = DEFAULT_PROMPT) -> LMM:
    """An LMM around a model that is not of transformers; it is put in evaluation mode and asks for no gradient.

    Args:
        captioner: a module that is a `Captioner`.
        name: what manifests call it.
        prompt: the request for a caption that its `prepare` is given.

    Raises:
        ModelError: members of `Captioner` are missing, or blocks, norm and unembedding are not modules inside it.
    """
    kind = type(captioner).__name__
    if not isinstance(captioner, Captioner) or not isinstance(captioner, nn.Module):
        missing = [m for m in MEMBERS if not hasattr(captioner, m)] or ["it is no torch module"]
        raise ModelError(f"{kind} is no vitrail.lmm.Captioner; missing: {', '.join(missing)}.")
    parts = Parts.named(captioner, captioner.blocks, captioner.norm, captioner.unembedding)
    absent = [part for part, found in parts.names.items() if found == ABSENT]
    lost = [part for part in absent if not isinstance(getattr(captioner, part), nn.Identity)]
    if lost or not len(captioner.blocks):
        raise ModelError(f"{', '.join(lost) or 'blocks'} of {kind} should be modules inside it.")
    captioner.eval().requires_grad_(False)
    return LMM(CaptionerBackend(captioner, captioner, parts), name, prompt=prompt)
