"""Examples as a batch: each answer follows its request, and is given to the model instead of generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitrail.lmm import LMM
from vitrail.lmm.positions import forced, prompt_width
from vitrail.samples.examples import Example


@dataclass(frozen=True)
class Predictions:
    """What a model predicts of the answers' tokens.

    Args:
        logits: one row per token of the answers, in float32.
        targets: the tokens' ids.
        places: where they stand; column i is the prediction of position i + 1.
    """

    logits: Float[Tensor, "tokens vocabulary"]
    targets: Int[Tensor, " tokens"]
    places: Bool[Tensor, "batch positions"]


@dataclass(frozen=True)
class TeacherForced:
    """A batch of examples with teacher-forced answers.

    Args:
        inputs: what the model takes.
        labels: ids of the answers' tokens (batch, positions), end token included; −100 elsewhere.
    """

    inputs: dict[str, Tensor]
    labels: Int[Tensor, "batch positions"]

    @property
    def prompt_width(self) -> int:
        """The width of the prompts, padding included: the answers begin there."""
        return prompt_width(self.labels)

    def predictions(self, lmm: LMM) -> Predictions:
        """One forward pass of `lmm`: its predictions of the answers' tokens."""
        with forced(self.prompt_width):
            logits = lmm.run(self.inputs).logits
        logits = logits[:, -self.labels.shape[1] : -1]  # from the end: a model may put its image before the text
        targets = self.labels[:, 1:]
        places = targets != -100
        return Predictions(logits[places].float(), targets[places], places)


def count_tokens(lmm: LMM, examples: Sequence[Example]) -> int:
    """How many tokens the answers of `examples` have together, end tokens included; raises as `teacher_forced`."""
    _check(lmm, examples)
    return sum(len(lmm.answer_ids(lmm.request(e.sample), e.answer)) for e in examples)


def _check(lmm: LMM, examples: Sequence[Example]) -> None:
    for example in examples:
        lmm.check_text(example.answer, f"sample {example.sample.id!r}: its answer")


def teacher_forced(lmm: LMM, examples: Sequence[Example]) -> TeacherForced:
    """The batch of `examples`, whose images are opened.

    Raises:
        DataError: an image cannot be read, or an answer has a control token in it.
    """
    _check(lmm, examples)
    images, requests = [e.sample.open() for e in examples], [lmm.request(e.sample) for e in examples]
    return TeacherForced(*lmm.taught(images, requests, [e.answer for e in examples]))
