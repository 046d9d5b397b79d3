"""How a steering is made, and how it is applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from vitrail.errors import UsageError
from vitrail.lmm.options import Layer, PositionName, Positions, read_at
from vitrail.options import Count, Options, Seed, Within

#: Where L2S reads its targets: in answers that are wanted and not wanted, in both answers to the same request, in the
#: true answer and its opposite, or in requests that ask for it and do not.
Targets = Literal["answers", "forced", "truth", "prompts"]

#: The largest strength, either way. At strength 1 a vector is about as long as states differ; a million such vectors
#: still have a norm, and a square of it, that float32 and bfloat16 hold.
LARGEST = 1e6
Strength = Annotated[float, Within(LARGEST)]
"""1 is the strength that a steering was made with; a negative one pushes away from what is wanted."""


def strength(alpha: float) -> float:
    """The strength itself. Raises `UsageError` for what is no `Strength`."""
    return Application(alpha).alpha


@dataclass(frozen=True)
class SteeringOptions(Options):
    """How a steering is made. A method uses the options that it has a need for, and its manifest keeps those.

    Args:
        layers: the layers whose states are changed.
        applied_at: the positions whose states will be changed, unless `steer` is told otherwise.
        saying: of captions, read only the states that predict the task's words; read whole captions otherwise.
        targets: of L2S, "answers": the states of wanted answers against those of the others; "forced": those of a
            wanted answer against those of the other one, both forced after the same request; "truth": so for the true
            answer and its opposite, as published for POPE; "prompts": the state at the end of a request that asks for
            it against that of the plain request.
        hidden: of L2S, the width of its network's inner layer.
        epochs: of L2S, passes over the examples, at most; how many is chosen on held-out samples.
        context: of L2S, the layer of the state that its network reads; the layer that is changed if None.
        rank: of LoReFT and DiReFT.
        steps: of the optimiser, at most; of LoReFT and DiReFT.
        batch_size: samples in a batch.
        seed: of everything random.
        read_at: the states that are read of an example: "answer" (those that predict the tokens of the answer),
            "generated" (these, and the one that predicts its end), "said" (those at the tokens of the answer),
            "question", "first", "last", "prompt", "image" or "all", or a slice of these, such as answer:0:3 or
            question:-1; those of the task if None. A row is the mean over them, and `saying` does not count.
    """

    layers: tuple[Layer, ...] = (-1,)
    applied_at: PositionName = "generated"
    saying: bool = True
    targets: Targets = "answers"
    rank: Count = 4
    steps: Count = 100
    batch_size: Count = 32
    seed: Seed = 0
    hidden: Count = 100
    epochs: Count = 100
    context: Layer | None = None
    read_at: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.saying and (self.read_at is not None or self.targets != "answers"):
            raise UsageError(
                "That whole captions are read (saying=False, --whole) is a choice where no other positions are named "
                "(read_at, --read-at) and the targets are answers. Leave it out."
            )
        if self.read_at is not None and read_at(self.read_at)[0] in ("word", "patches"):
            raise UsageError(
                f"A steering is made of states at positions of the text, such as answer or question:-1, not at "
                f"{self.read_at!r}. Those that predict the words of a task are read by default."
            )


#: The fields of `SteeringOptions` that every method that is made from a task uses.
SHARED_OPTIONS = ("layers", "applied_at", "batch_size", "seed")


@dataclass(frozen=True)
class Application(Options):
    """How a steering is applied.

    Args:
        alpha: the strength; 1 is the strength that it was made with.
        positions: the positions whose states are changed; those that the steering was made for if None.
        keep_norm: of vectors, whether every state keeps its norm, so that only its direction changes.
        other_weights: apply a steering that was made on other weights than the model's.

    Raises:
        UsageError: a strength that is no number, or larger than 1e6 either way.
    """

    alpha: Strength = 1.0
    positions: Positions | None = None
    keep_norm: bool = False
    other_weights: bool = False

    def refuse_keep_norm(self, method: str) -> None:
        """Raises `UsageError` if norms should be kept; `method` makes learned functions, which have no such choice."""
        if self.keep_norm:
            raise UsageError(f"keep_norm is for vectors; {method} is a learned function.")
