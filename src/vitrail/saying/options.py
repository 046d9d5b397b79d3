"""How a model is asked for what it says: one value, kept in the manifest."""

from __future__ import annotations

from dataclasses import dataclass

from vitrail.options import Count, Options


@dataclass(frozen=True)
class SayingOptions(Options):
    """What is asked of a model.

    Args:
        prompt: the request for a caption; the model's own for None.
        max_new_tokens: longest text, in tokens.
        batch_size: samples per batch; it is halved when memory runs out.
        shard_size: samples per shard. A run that was stopped goes on at the first shard missing.
    """

    prompt: str | None = None
    max_new_tokens: Count = 40
    batch_size: Count = 32
    shard_size: Count = 256
