"""What is trained: a connector from the features of an image to the language model, and a LoRA in that model."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from benchmarks.real.packing import Packed
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F

#: The linear layers of Gemma that get a LoRA: all of them.
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Connector(nn.Module):
    """LLaVA's two layers, from features that are standardised first.

    Args:
        mean: (features,) the mean of the features of the training photographs.
        std: (features,) their standard deviation.
        width: of the language model.
        dropout: of the standardised features.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(len(mean), width)
        self.linear_2 = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, features: Tensor) -> Tensor:
        """(…, features) → (…, width)."""
        standard = self.dropout((features - self.mean) / self.std)
        return self.linear_2(F.gelu(self.linear_1(standard)))

    @torch.no_grad()
    def scale_to(self, features: Tensor, rms: float) -> None:
        """Scales the second layer so that what comes out of `features` is as large as the embeddings of tokens."""
        self.linear_2.bias.zero_()
        self.linear_2.weight *= rms / self(features).pow(2).mean().sqrt()

    @torch.no_grad()
    def folded(self) -> dict[str, Tensor]:
        """The weights of the same two layers for features as they are: the standardisation is in the first."""
        weight = self.linear_1.weight / self.std
        return {
            "linear_1.weight": weight,
            "linear_1.bias": self.linear_1.bias - weight @ self.mean,
            "linear_2.weight": self.linear_2.weight.clone(),
            "linear_2.bias": self.linear_2.bias.clone(),
        }


class Captioner(nn.Module):
    """The language model with a LoRA, reading images through a connector. Only these two are trained.

    Args:
        language: a decoder of transformers with the small vocabulary; frozen.
        connector: see there.
        rank: of the LoRA.
        alpha: its scale, times the rank.
        dropout: of what the LoRA reads.
        start: the token that begins a text.
        prompt: the tokens between image and caption.
        end: the token that ends a caption.
    """

    def __init__(
        self,
        language: Any,
        connector: Connector,
        *,
        rank: int,
        alpha: int,
        dropout: float,
        start: int,
        prompt: list[int],
        end: int,
    ) -> None:
        super().__init__()
        adapter = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=TARGETS, bias="none")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".is_gradient_checkpointing. is deprecated")  # PEFT still uses it
            self.language: Any = get_peft_model(language, adapter)
        self.connector = connector
        self.start, self.prompt, self.end = start, prompt, end

    @property
    def embedding(self) -> Any:
        """The embedding of tokens, whose weights are the unembedding, too."""
        return self.language.get_base_model().get_input_embeddings()

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def read(self, features: Tensor, ids: Tensor) -> Tensor:
        """(rows, width, model): the embeddings of `ids` with the image in places 1 to 1 + positions."""
        embedded = self.embedding(ids)
        image = self.connector(features).to(embedded.dtype)
        return torch.cat([embedded[:, :1], image, embedded[:, 1 + image.shape[1] :]], 1)

    def forward(self, features: Tensor, packed: Packed) -> Tensor:
        """(tokens,): the loss of each token of a batch, in nats.

        Args:
            features: (rows, positions, features) of the images.
            packed: their captions.
        """
        seen = {"full_attention": packed.allowed, "sliding_attention": packed.allowed}
        states = self.language(
            inputs_embeds=self.read(features, packed.ids),
            attention_mask=seen,
            position_ids=packed.places,
            use_cache=False,
        ).last_hidden_state[packed.row, packed.column]
        logits = F.linear(states, self.embedding.weight)
        return F.cross_entropy(logits.float(), packed.target, reduction="none")

    @torch.no_grad()
    def say(self, features: Tensor, *, samples: int | None = None, longest: int = 24) -> list[list[int]]:
        """Captions of each image, without the end token.

        Args:
            features: (rows, positions, features) of the images.
            samples: captions of each image, drawn at random; by default one, of the likeliest token after another.
            longest: tokens of a caption at most.

        Returns:
            Those of the first image, those of the second, …
        """
        rows, positions = features.shape[:2]
        ids = torch.zeros(rows, 1 + positions + len(self.prompt), dtype=torch.long, device=features.device)
        ids[:, 0] = self.start
        ids[:, 1 + positions :] = torch.tensor(self.prompt, device=features.device)
        out = self.language(inputs_embeds=self.read(features, ids), use_cache=True)
        states, cache = out.last_hidden_state[:, -1], out.past_key_values
        if samples is not None:
            states = states.repeat_interleave(samples, 0)
            cache.batch_repeat_interleave(samples)
        said: list[list[int]] = [[] for _ in states]
        going = list(range(len(states)))  # captions that have not ended
        for _ in range(longest):
            logits = F.linear(states, self.embedding.weight).float()
            drawn = logits.argmax(-1) if samples is None else logits.softmax(-1).multinomial(1)[:, 0]
            on = (drawn != self.end).nonzero()[:, 0]
            going = [going[i] for i in on.tolist()]
            if not going:
                break
            if len(on) < len(drawn):
                drawn = drawn[on]
                cache.batch_select_indices(on)
            for i, token in zip(going, drawn.tolist(), strict=True):
                said[i].append(token)
            out = self.language(input_ids=drawn[:, None], past_key_values=cache, use_cache=True)
            states, cache = out.last_hidden_state[:, -1], out.past_key_values
        return said


def load_language(folder: Path) -> Any:
    """The frozen decoder of a folder, in float32, with attention that takes any mask."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    return model.requires_grad_(False)
