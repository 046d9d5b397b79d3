"""What a steering is made from: examples that show what is wanted, and examples that do not."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from vitrail.samples.examples import Example, examples_hash


@dataclass(frozen=True)
class ExampleSet:
    """Examples, and which of their states are read.

    Args:
        examples: samples with their answers.
        saying: read only the states that predict the beginning of one of these words; all states if it is empty.
    """

    examples: Sequence[Example]
    saying: Collection[str] = frozenset()

    def __len__(self) -> int:
        return len(self.examples)

    def without_words(self) -> ExampleSet:
        """The same examples; all of their states are read."""
        return ExampleSet(self.examples)


@dataclass(frozen=True)
class Contrast:
    """Two sets of examples; a steering moves the states of `away` to those of `toward`.

    Args:
        toward: examples of what is wanted.
        away: examples of what is to change.
        read_at: the positions of each request and answer that are read, as `lmm.options.read_at` takes them; the state
            of an example is the mean over them.
        stay: examples whose answers should stay as they are.
        others: examples that a guarded vector must leave alone.
    """

    toward: ExampleSet
    away: ExampleSet
    read_at: str = "generated"
    stay: Sequence[Example] = ()
    others: tuple[ExampleSet, ...] = ()


def described(examples: Sequence[Example]) -> dict[str, Any]:
    """What a manifest says of examples: their number and their hash."""
    return {"n": len(examples), "sha256": examples_hash(examples)}
