"""What a steering did: its effect, its cost, and what else changed, with intervals and p-values against no steering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vitrail.artifacts import plain, typed
from vitrail.scores import Estimate


@dataclass(frozen=True)
class SideEffects:
    """What else was measured, whatever the task.

    Args:
        changed: share of the texts that are not those of the unsteered model, 0 to 1.
        distinct: distinct-2 of the texts, 0 to 1; see `scores.distinct`.
        perplexity: of the texts, under the unsteered model; None where it was not measured.
    """

    changed: float
    distinct: float
    perplexity: float | None


@dataclass(frozen=True)
class CaptionSideEffects(SideEffects):
    """Side effects on captions.

    Args:
        clip_score: CLIPScore of the captions; None where it was not measured.
        cider: CIDEr-D of the captions.
        cider_rest: CIDEr-D of the captions without the topic.
        cider_rest_p: p-value of its difference to no steering.
        bleu: BLEU-4 of the captions, 0 to 100.
    """

    clip_score: Estimate | None
    cider: Estimate
    cider_rest: Estimate
    cider_rest_p: float
    bleu: float


@dataclass(frozen=True)
class AnswerSideEffects(SideEffects):
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


#: Fields that are left out of the JSON where they were not measured.
OPTIONAL = ("perplexity", "clip_score")


@dataclass(frozen=True)
class Outcome:
    """The figures of one steering on some samples.

    Args:
        effect: share of the samples that count whose text is as wanted.
        p: p-value of its difference to no steering, by random changes of sign.
        cost: what the rest lost, 0 to 1: of captions, CIDEr-D without the topic, relative to no steering; of answers,
            the most accuracy that a kind of question lost on answers that were to stay.
        side: everything else that was measured.
    """

    effect: Estimate
    p: float
    cost: float
    side: CaptionSideEffects | AnswerSideEffects

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        values = without_std(plain(self))
        values["side"] = {k: v for k, v in values["side"].items() if v is not None or k not in OPTIONAL}
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Outcome:
        """The outcome whose `as_dict` is `values`, which may have further keys.

        Raises:
            ValueError: the values are not those of an outcome.
        """
        found = with_std({key: values[key] for key in ("effect", "p", "cost", "side")})
        side = {**dict.fromkeys(OPTIONAL), **found["side"]}
        effects = typed(side, CaptionSideEffects) if "cider" in side else typed(side, AnswerSideEffects)
        return cls(typed(found["effect"], Estimate), typed(found["p"], float), typed(found["cost"], float), effects)


def without_std(value: Any) -> Any:
    """JSON values in which estimates have no standard deviation: files of outcomes do not keep it."""
    if isinstance(value, list):
        return [without_std(v) for v in value]
    if not isinstance(value, dict):
        return value
    found = {k: without_std(v) for k, v in value.items()}
    if found.keys() == {"mean", "std", "low", "high", "n"}:
        del found["std"]
    return found


def with_std(value: Any) -> Any:
    """The inverse of `without_std`: estimates have an unknown standard deviation."""
    if isinstance(value, list):
        return [with_std(v) for v in value]
    if not isinstance(value, dict):
        return value
    found = {k: with_std(v) for k, v in value.items()}
    return {"std": None, **found} if found.keys() == {"mean", "low", "high", "n"} else found
