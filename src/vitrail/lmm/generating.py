"""Greedy generation: from a fresh configuration, which takes over what belongs to the model and nothing else.

A model's own `generation_config.json` may hold some eighty keys, many of which make what is said anything but the most
likely tokens, or end in an error. Which keys those are changes from version to version; so nothing is taken over but
what is named here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vitrail.errors import NumericsError

#: What belongs to a model: the tokens with which its answers begin, end and are padded, and those that it never says.
OWN = (
    "bos_token_id",
    "decoder_start_token_id",
    "eos_token_id",
    "forced_bos_token_id",
    "pad_token_id",
    "suppress_tokens",
    "begin_suppress_tokens",
)


def greedy_configuration(own: Any, tokenizer: Any) -> Any:
    """A `GenerationConfig` of transformers for greedy generation by the model whose own one is `own`.

    An answer ends with an end of the model's, or with the tokenizer's. Words of one token that the model forbids
    (`bad_words_ids`) are among those that it never says.
    """
    from transformers import GenerationConfig

    kept = {name: getattr(own, name, None) for name in OWN}
    ends = {*_as_list(kept["eos_token_id"]), *_as_list(tokenizer.eos_token_id)}
    words = getattr(own, "bad_words_ids", None) or ()
    never = {*(kept["suppress_tokens"] or ()), *(ids[0] for ids in words if len(ids) == 1)}
    kept |= {"eos_token_id": sorted(ends) or None, "suppress_tokens": sorted(never) or None}
    return GenerationConfig(**{name: value for name, value in kept.items() if value is not None})


def _as_list(value: Any) -> list[int]:
    return [] if value is None else [int(v) for v in (value if isinstance(value, list | tuple) else [value])]


def settings(configuration: Any) -> dict[str, Any]:
    """What a generation configuration says, without what is not set."""
    told = {} if configuration is None else configuration.to_diff_dict()
    return {name: told[name] for name in sorted(told) if name != "transformers_version" and told[name] is not None}


def end_tokens(configuration: Any) -> list[int]:
    """The tokens that end an answer."""
    return _as_list(getattr(configuration, "eos_token_id", None))


class FiniteLogits:
    """A processor of logits that changes nothing, and knows afterwards whether all of them were numbers."""

    def __init__(self) -> None:
        self.bad: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        bad = ~(scores < torch.inf).all()  # NaN compares as false
        self.bad = bad if self.bad is None else self.bad | bad.to(self.bad.device)
        return scores

    def check(self, name: str) -> None:
        """Raises `NumericsError` if a logit was NaN or infinite: what was said would mean nothing."""
        if self.bad is not None and bool(self.bad):
            raise NumericsError(
                f"The logits of {name} are not finite, so what it says means nothing. Load the model in a wider "
                "dtype: --dtype bfloat16 or float32."
            )
