"""Greedy generation: from a fresh configuration, which takes over what belongs to the model and nothing else.

A model's own `generation_config.json` may hold some eighty keys, many of which make what is said anything but the most
likely tokens, or end in an error. Which keys those are changes from version to version; so nothing is taken over but
what is named here.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vitrail.errors import NumericsError
from vitrail.lmm.backend import Generation

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

#: What has tokens guessed ahead, by heads for several tokens, by the prompt or by early layers. It makes generation
#: faster and leaves what is said as it is; the states behind guesses cannot be followed, nor do they go in batches.
GUESSING = ("use_mtp", "prompt_lookup_num_tokens", "assistant_early_exit")


def one_by_one(own: Any) -> Any:
    """A copy of a model's own generation configuration that guesses no tokens ahead; None without one."""
    kept = copy.deepcopy(own)
    for name in GUESSING:
        if getattr(kept, name, None) is not None:
            setattr(kept, name, None)
    return kept


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


class Ending:
    """A stopping criterion of transformers: a row ends where its text says so.

    Args:
        until: whether a text, of what was said so far, is the whole answer.
        generation: token ids → what was said.
    """

    def __init__(self, until: Callable[[str], bool], generation: Callable[[Sequence[int]], Generation]) -> None:
        self.until, self.generation = until, generation
        self._ends: dict[int, int] = {}  # row → how many tokens it has
        self._width: int | None = None  # of the ids before the first generated token

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        if self._width is None:
            self._width = input_ids.shape[1] - 1
        for row, ids in enumerate(input_ids[:, self._width :].tolist()):
            self._look(row, ids)
        return torch.tensor([row in self._ends for row in range(len(input_ids))], device=input_ids.device)

    def _look(self, row: int, ids: Sequence[int]) -> None:
        if row not in self._ends and self.until(self.generation(ids).text):
            self._ends[row] = len(ids)

    def cut(self, answers: Sequence[list[int]]) -> list[list[int]]:
        """The answers up to where they end; also those that were generated without this criterion."""
        if self._width is None:
            for row, ids in enumerate(answers):
                for n in range(1, len(ids) + 1):
                    self._look(row, ids[:n])
        return [ids[: self._ends.get(row)] for row, ids in enumerate(answers)]
