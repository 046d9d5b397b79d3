"""How a model is asked for what it says: one value, kept in the manifest."""

from __future__ import annotations

from dataclasses import dataclass

from vitrail.options import Count, CountOrAuto, Options


@dataclass(frozen=True)
class SayingOptions(Options):
    """What is asked of a model.

    Args:
        prompt: the request for a caption; the model's own for None.
        max_new_tokens: longest text, in tokens.
        batch_size: samples per batch, halved when memory runs out; "auto" doubles it until that makes samples no faster
            or memory says stop, and keeps it in the manifest.
        shard_size: samples per shard. A run that was stopped goes on at the first shard missing.
    """

    prompt: str | None = None
    max_new_tokens: Count = 40
    batch_size: CountOrAuto = 32
    shard_size: Count = 256

    @property
    def samples_per_batch(self) -> int:
        """`batch_size`, or its default where it is found for each run."""
        return 32 if isinstance(self.batch_size, str) else self.batch_size
