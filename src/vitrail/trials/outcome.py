"""What a steering did: its effect, its cost, and what else changed, with intervals and p-values against no steering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitrail.artifacts import plain, typed
from vitrail.scores import Estimate
from vitrail.trials.losses import TextLoss


@dataclass(frozen=True)
class CaptionSideEffects:
    """Side effects on captions.

    Args:
        clip_score: CLIPScore of the captions; None where it was not measured.
        cider_rest: CIDEr-D of the captions without the topic.
        cider_rest_p: p-value of its difference to no steering.
        bleu: BLEU-4 of the captions, 0 to 100.
        meteor: METEOR of the captions, equal words and stems, 0 to 1; None without NLTK.
    """

    clip_score: Estimate | None
    cider_rest: Estimate
    cider_rest_p: float
    bleu: float
    meteor: float | None = None


@dataclass(frozen=True)
class AnswerSideEffects:
    """Side effects on answers.

    Args:
        accuracy: VQAv2's accuracy of all answers ("all") and of each official type of answer.
        accuracy_plain: that of the unsteered model.
        lost: kind of question → the accuracy lost on answers that were to stay.
        own_types: the kinds of questions whose answers were to change.
        collateral: share of the answers that were to stay, but changed; None where all were to change.
        answers_moved: the most frequent changes: (from, to, how often).
    """

    accuracy: dict[str, Estimate]
    accuracy_plain: dict[str, float]
    lost: dict[str, float]
    own_types: list[str]
    collateral: Estimate | None
    answers_moved: list[tuple[str, str, int]]


@dataclass(frozen=True)
class Outcome:
    """The figures of one steering on some samples.

    Args:
        effect: share of the samples that count whose text is as wanted.
        p: p-value of its difference to no steering, by random changes of sign.
        cost: what the rest lost, 0 to 1: of captions, CIDEr-D without the topic, relative to no steering; of answers,
            the most accuracy that a kind of question lost on answers that were to stay.
        loss: what the texts lost, whatever the task, and whether they are broken.
        side: everything else that was measured.
    """

    effect: Estimate
    p: float
    cost: float
    loss: TextLoss
    side: CaptionSideEffects | AnswerSideEffects

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """The outcome whose `as_dict` is `values`, which may have further keys.

        Raises:
            ValueError: the values are not those of an outcome.
        """
        kind = CaptionSideEffects if "cider_rest" in values["side"] else AnswerSideEffects
        kinds: dict[str, Any] = {"effect": Estimate, "p": float, "cost": float, "loss": TextLoss, "side": kind}
        return cls(**{name: typed(values[name], kind) for name, kind in kinds.items()})
