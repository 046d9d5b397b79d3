"""How states are extracted: one value, kept in the manifest and passed whole to make the same again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from vitrail.artifacts import typed
from vitrail.errors import UsageError
from vitrail.lmm.options import Layer, is_sight, read_at
from vitrail.options import Count, CountOrAuto, Options
from vitrail.words import Alignment, Word

Require = Literal["both", "predicted", "truth"]


@dataclass(frozen=True)
class ExtractionOptions(Options):
    """What is asked of a model, and which states are kept.

    Args:
        layers: any of 0 (embeddings), 1..N or −N..−1 (residual stream after a block), "final" (after the final
            norm), or "all" of them; also "vision", "connector", or a module inside one of them by its name, such as
            vision.encoder.layers.3.
        alignment: "predicts" takes the state whose next-token prediction is the word's first sub-token, "reads" the
            state at the position where the word's last sub-token is input.
        require: "both" keeps samples with the word in the generated text and in a reference (CoX-LMM, Parekh et al.
            2024); "predicted" asks for the generated text alone; "truth" forces the first reference that has the word
            in place of a generated text.
        prompt: the request for a caption; the model's own for None.
        max_new_tokens: longest generated text, in tokens.
        batch_size: samples per batch, halved when memory runs out; "auto" doubles it until that makes samples no faster
            or memory says stop, and keeps it in the manifest. States of other batches differ by rounding.
        shard_size: samples per shard. A run that was stopped goes on at the first shard missing.
        read_at: the states that a row is the mean of: "word" (one state, see `alignment`), "answer" (those that predict
            the tokens of the answer), "generated" (these, and the one that predicts its end), "said" (those at the
            tokens of the answer), "question" (at the tokens of the request), "first" or "last" (of the prompt), "ends",
            "prompt", "image" or "all"; or a slice of these, such as answer:0:3 or question:-1. Of layers that the image
            goes through, a row is the mean over its patches; with "patches" there is one row a patch.
        stop_at_word: end a generated text once each of the words was said, one token after the last of them: the
            states are the same, the texts shorter.
        experts: keep in each row which experts of each block work on the token of its state (`Row.experts`); of
            mixtures of experts, for states of the word.
    """

    layers: tuple[Layer, ...] = (-1,)
    alignment: Alignment = "predicts"
    require: Require = "both"
    prompt: str | None = None
    max_new_tokens: Count = 40
    batch_size: CountOrAuto = 32
    shard_size: Count = 256
    read_at: str = "word"
    stop_at_word: bool = False
    experts: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "layers", tuple(self.layers))
        name, _ = read_at(self.read_at)
        if name != "word" and self.alignment != "predicts":
            raise UsageError(
                f"The alignment {self.alignment!r} is a choice between states of the word; states are read at "
                f"{self.read_at!r} here. Leave one of them out."
            )
        if self.sight and name not in ("word", "patches"):
            raise UsageError(
                f"{', '.join(map(str, self.sight))} is passed by the image alone, which has no {self.read_at!r}; leave "
                "that out, or extract the layers of the decoder by themselves."
            )
        if name == "patches" and self.decoder:
            raise UsageError(
                "One row a patch is for layers that the image goes through (vision, connector, or a module inside "
                f"them); got {', '.join(map(str, self.layers))}."
            )
        if self.experts and (name != "word" or self.sight):
            raise UsageError(
                f"Experts work on one token, that of the word's own state; got {self.read_at!r} and the layers "
                f"{', '.join(map(str, self.layers))}."
            )
        if self.stop_at_word and (self.require == "truth" or name not in ("word", "patches")):
            raise UsageError(
                "stop_at_word ends what the model says at the word, so the references are not read (require), and no "
                f"state but that of the word (read_at); got {self.require!r} and {self.read_at!r}."
            )

    @property
    def samples_per_batch(self) -> int:
        """`batch_size`, or its default where it is found for each run."""
        return 32 if isinstance(self.batch_size, str) else self.batch_size

    @property
    def of_the_word(self) -> bool:
        """Whether every state is that of the word, as the model has it when it says it, and nothing else is kept."""
        return self.read_at == "word" and not self.sight and not self.experts

    @property
    def one_a_patch(self) -> bool:
        """Whether there is one row a patch, so that a sample has many."""
        return self.read_at == "patches"

    @property
    def sight(self) -> tuple[Layer, ...]:
        """Those of the layers that the image goes through before it reaches the decoder."""
        return tuple(layer for layer in self.layers if is_sight(layer))

    @property
    def decoder(self) -> tuple[Layer, ...]:
        """The other layers."""
        return tuple(layer for layer in self.layers if not is_sight(layer))

    @classmethod
    def from_manifest(cls, parameters: Mapping[str, Any]) -> ExtractionOptions:
        """The options in the parameters of an activations manifest."""
        names = cls.__dataclass_fields__
        return cls(**{name: value for name, value in parameters.items() if name in names})


def word_from_manifest(values: Mapping[str, Any]) -> Word:
    """The word of interest in the parameters of an activations manifest."""
    return typed(values, Word)
