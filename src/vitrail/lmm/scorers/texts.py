"""Text encoders for BERTScore."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vitrail.errors import UsageError
from vitrail.lmm.identity import fingerprint
from vitrail.lmm.placement import device_of
from vitrail.lmm.scorers import reading


@dataclass(frozen=True)
class TextScorer:
    """Tokens of texts in context, for BERTScore.

    Args:
        name: how it was loaded.
        fingerprint: a hash of everything that changes its embeddings: weights, text handling, layer.
        layer: the layer whose states are the embeddings.
        encode: a batch of texts → for each (n_tokens, d), without special tokens.
    """

    name: str
    fingerprint: str
    layer: int
    encode: Callable[[Sequence[str]], list[Tensor]]

    def texts(self, texts: Sequence[str]) -> list[np.ndarray]:
        """For each text (n_tokens, d) float32 of unit length, special tokens left out."""
        found: list[np.ndarray] = []
        for start in range(0, len(texts), reading.BATCH):
            found += [reading.unit(tokens) for tokens in self.encode(texts[start : start + reading.BATCH])]
        return found


def load_text_scorer(
    model: str | Path, *, layer: int = -1, revision: str | None = None, device: str | None = None
) -> TextScorer:
    """The text encoder `model` for BERTScore.

    Args:
        model: "toyland", or a folder or name of an encoder of transformers, such as "roberta-large".
        layer: whose states are compared, 0 (embeddings) to N, or −1 for the last; BERTScore's authors recommend 17
            for roberta-large and 9 for bert-base-uncased.
        revision: of a model on the hub.
        device: where it runs; by default the accelerator if there is one.

    Raises:
        ModelError: it cannot be loaded.
        UsageError: there is no such layer or device.
    """
    from transformers import AutoModel, AutoTokenizer

    place = device_of(device)
    path = reading.bundled("text") if str(model) == "toyland" else str(model)
    network, tokenizer = reading.loaded(AutoModel, AutoTokenizer, path, str(model), revision)
    if getattr(network.config, "is_encoder_decoder", False):
        network = network.get_encoder()
    if getattr(network, "pooler", None) is not None:
        network.pooler = None  # not needed, and in some checkpoints absent: it would be random
    network = network.to(place).eval().requires_grad_(False)
    n = network.config.num_hidden_layers
    if not -1 <= layer <= n:
        raise UsageError(f"{model} has layers 0 to {n}, or −1 for the last; got {layer}.")
    layer = n if layer == -1 else layer
    read = reading.text_reader(network, tokenizer, str(model))

    @torch.inference_mode()
    def encode(batch: Sequence[str]) -> list[Tensor]:
        inputs = read(batch)
        special = inputs.pop("special_tokens_mask").bool()
        states = network(**inputs, output_hidden_states=True).hidden_states[layer]
        return [row[~left_out] for row, left_out in zip(states, special, strict=True)]

    found = reading.hashed(fingerprint(network), reading.text_handling(tokenizer), str(layer))
    return TextScorer(str(model), found, layer, encode)
