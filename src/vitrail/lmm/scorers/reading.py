"""What all scorers share: loading with every weight there, texts as tokens, unit vectors, and a hash of all that."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitrail.errors import ModelError
from vitrail.lmm.families import family_of
from vitrail.lmm.messages import first_line, quiet_loading

log = logging.getLogger(__name__)

#: How many images or texts go through a scorer at once.
BATCH = 64


def unit(vectors: Float[Tensor, "n d"]) -> Float[np.ndarray, "n d"]:
    """The vectors in float32, scaled to unit length.

    Raises:
        ModelError: one of them is not finite.
    """
    vectors = vectors.detach().float()
    if not torch.isfinite(vectors).all():
        raise ModelError("A scorer gave embeddings that are not finite. Load another one.")
    return torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()


def loaded(network: Any, reader: Any, path: str, model: str, revision: str | None) -> tuple[Any, Any]:
    """A model and its processor or tokenizer.

    Args:
        network: the class of transformers that loads the model.
        reader: the one that loads what makes its inputs.
        path: where it is; `model` is how it was named.
        revision: of a model on the hub.

    Raises:
        ModelError: it cannot be loaded, or a weight that is not a pooler's is missing.
    """
    try:
        with quiet_loading():
            found, info = network.from_pretrained(path, revision=revision, output_loading_info=True)
        made = reader.from_pretrained(path, revision=revision)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ModelError(f"{model} could not be loaded as a scorer: {first_line(error)}") from error
    missing = [key for key in info["missing_keys"] if "pooler" not in key]
    if missing:
        raise ModelError(
            f"{model} lacks {len(missing)} weights of a {type(found).__name__}, {missing[0]} among them: "
            "they would be random, and so would its scores."
        )
    return found, made


def text_reader(network: Any, tokenizer: Any, model: str) -> Callable[[Sequence[str]], dict[str, Tensor]]:
    """Texts → the inputs of `network`, cut to its length, with a mask of special tokens."""
    config = getattr(network.config, "text_config", network.config)
    longest = min(getattr(config, "max_position_embeddings", 512), tokenizer.model_max_length)
    if family_of(getattr(config, "model_type", "")).positions_after_padding:
        longest = min(longest, config.max_position_embeddings - config.pad_token_id - 1)
    padding = "max_length" if family_of(network.config.model_type).full_length else True
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token

    def read(texts: Sequence[str]) -> dict[str, Tensor]:
        too_long = sum(len(ids) > longest for ids in tokenizer(list(texts), verbose=False)["input_ids"])
        if too_long:
            log.warning("%d of %d texts are longer than the %d tokens of %s: cut", too_long, len(texts), longest, model)
        batch = tokenizer(
            list(texts),
            padding=padding,
            truncation=True,
            max_length=longest,
            return_special_tokens_mask=True,
            return_tensors="pt",
        )
        known = {*tokenizer.model_input_names, "special_tokens_mask"}
        return {k: v.to(network.device) for k, v in batch.items() if k in known}

    return read


def text_handling(tokenizer: Any) -> str:
    """What decides how a text becomes tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return json.dumps(sorted(tokenizer.get_vocab().items())) if backend is None else backend.to_str()


def hashed(*parts: str) -> str:
    """A short hash of some texts."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def bundled(which: Literal["clip", "text"]) -> str:
    """The folder of a scorer that comes with Toyland.

    Raises:
        ModelError: it is missing from this installation.
    """
    from vitrail import toyland

    path = toyland.clip_path() if which == "clip" else toyland.text_path()
    if not (path / "config.json").is_file():
        raise ModelError(f"The bundled scorer is missing: there is no {path}. Name another scorer.")
    return str(path)
