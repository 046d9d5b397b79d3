"""How states are extracted: one value, kept in the manifest and passed whole to make the same again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vitrail.lmm.options import Layer
from vitrail.options import Count, Options
from vitrail.words import Alignment, Word

Require = Literal["both", "predicted", "truth"]


@dataclass(frozen=True)
class ExtractionOptions(Options):
    """What is asked of a model, and which states are kept.

    Args:
        layers: any of 0 (embeddings), 1..N or −N..−1 (residual stream after a block), "final" (after the final
            norm), or "all" of them.
        alignment: "predicts" takes the state whose next-token prediction is the word's first sub-token, "reads" the
            state at the position where the word's last sub-token is input.
        require: "both" keeps samples with the word in the generated text and in a reference (CoX-LMM, Parekh et al.
            2024); "predicted" asks for the generated text alone; "truth" forces the first reference that has the word
            in place of a generated text.
        prompt: the request for a caption; the model's own for None.
        max_new_tokens: longest generated text, in tokens.
        batch_size: samples per batch; it is halved when memory runs out.
        shard_size: samples per shard. A run that was stopped goes on at the first shard missing.
    """

    layers: tuple[Layer, ...] = (-1,)
    alignment: Alignment = "predicts"
    require: Require = "both"
    prompt: str | None = None
    max_new_tokens: Count = 40
    batch_size: Count = 32
    shard_size: Count = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layers", tuple(self.layers))

    @classmethod
    def from_manifest(cls, parameters: Mapping[str, Any]) -> ExtractionOptions:
        """The options in the parameters of an activations manifest."""
        names = cls.__dataclass_fields__
        return cls(**{name: value for name, value in parameters.items() if name in names})


def word_from_manifest(values: Mapping[str, Any]) -> Word:
    """The word of interest in the parameters of an activations manifest."""
    return Word(values["text"], tuple(values["forms"]), values["match_case"])
