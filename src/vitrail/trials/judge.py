"""The judge: measures what is said under a steering against what the unsteered model says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from vitrail.artifacts import KeptParts
from vitrail.errors import DataError
from vitrail.lmm import LMM
from vitrail.lmm.scorers import ImageTextScorer
from vitrail.samples import Sample
from vitrail.scores import (
    Estimate,
    bleu,
    cider_d,
    clip_score,
    estimate,
    has_meteor,
    meteor,
    normal_answer,
    paired_p,
    vqa_accuracy,
)
from vitrail.steering.tasks import AnswerTask, CaptionTask, Task
from vitrail.trials.losses import LossMeter
from vitrail.trials.outcome import AnswerSideEffects, CaptionSideEffects, Outcome

#: Kinds of questions with fewer than these are judged together: the accuracy of two questions says nothing.
FEW = 10


@dataclass(frozen=True)
class Judge:
    """Measures texts about `samples` against those of the unsteered model, `before`.

    Args:
        lmm: the unsteered model, for the perplexity; None leaves it out.
        scorer: for CLIPScore; None leaves it out.
        batch_size: samples in a batch.

    Raises:
        DataError: no sample counts for the task.
    """

    task: Task
    samples: Sequence[Sample]
    before: Sequence[str]
    lmm: LMM | None = None
    scorer: ImageTextScorer | None = None
    batch_size: int = 32

    def __post_init__(self) -> None:
        if not any(self.counts):
            raise DataError(
                f"The unsteered model says nothing of these {len(self.samples)} samples that {self.task.name!r} is to "
                "change. Give more samples."
            )

    @cached_property
    def counts(self) -> Bool[np.ndarray, " n"]:
        """The samples that the effect is measured on."""
        return np.array([self.task.counts(b) for b in self.before], bool)

    @cached_property
    def _pictures(self) -> Float[np.ndarray, "n d"]:
        """The images as the scorer sees them."""
        assert self.scorer is not None
        return np.concatenate(self.scorer.images_of(self.samples))

    @cached_property
    def meter(self) -> LossMeter:
        """Measures what the texts lost, whatever the task."""
        return LossMeter(self.samples, self.before, self.lmm, self.batch_size, staying(self.task, self.before))

    def worked(self, said: Sequence[str]) -> Float[np.ndarray, " n"]:
        """1 where the text is as wanted, 0 where not, NaN where the sample does not count."""
        return worked(self.task, said, self.before)

    def judge(self, said: Sequence[str], asked: Sequence[Sample] | None = None) -> Outcome:
        """The figures of `said`, one text for each sample; `asked` as `LossMeter.loss` takes it."""
        found = self.worked(said)
        side, cost = (
            self._of_captions(said, self.task) if isinstance(self.task, CaptionTask) else self._of_answers(said)
        )
        p = paired_p(found, self.worked(self.before))
        return Outcome(estimate(found), p, cost, self.meter.loss(said, asked), side)

    def kept(self, parts: KeptParts, name: str, said: Sequence[str], asked: Sequence[Sample] | None = None) -> Outcome:
        """`judge`, as the part `name`.

        The surprises that it measured are kept, too: those of the same texts in later parts are not measured again, so
        a run that goes on must know them to measure the others in the same batches.
        """
        known = self.meter.surprises

        def make() -> dict[str, Any]:
            there = set(known)
            outcome = self.judge(said, asked)
            return {"outcome": outcome, "surprises": [(*k, v) for k, v in known.items() if k not in there]}

        def read(values: Any) -> Outcome:
            known.update({(place, question, text): v for place, question, text, v in values["surprises"]})
            return Outcome.from_dict(values["outcome"])

        return parts.part(name, make, read)

    def _clip_score(self, said: Sequence[str]) -> Estimate | None:
        if self.scorer is None:
            return None
        texts = np.concatenate(self.scorer.texts(said))
        return estimate(np.diagonal(clip_score(self._pictures, texts)))

    def _of_captions(self, said: Sequence[str], task: CaptionTask) -> tuple[CaptionSideEffects, float]:
        """Side effects on captions, and the cost."""
        references = [s.references for s in self.samples]
        rest = [tuple(map(task.rest, refs)) for refs in references]
        without = cider_d([task.rest(t) for t in said], rest)
        unsteered = cider_d([task.rest(b) for b in self.before], rest)
        level = float(unsteered.mean())
        side = CaptionSideEffects(
            clip_score=self._clip_score(said),
            cider_rest=estimate(without),
            cider_rest_p=paired_p(without, unsteered),
            bleu=bleu(said, references),
            meteor=float(meteor(said, references).mean()) if has_meteor() else None,
        )
        return side, float(1 - without.mean() / level) if level > 0 else float("nan")

    def _accuracy(self, said: Sequence[str]) -> Float[np.ndarray, " n"]:
        return np.array([vqa_accuracy(t, s.answers) for t, s in zip(said, self.samples, strict=True)])

    def _of_answers(self, said: Sequence[str]) -> tuple[AnswerSideEffects, float]:
        """Side effects on answers, and the cost."""
        right, was = self._accuracy(said), self._accuracy(self.before)
        staying = ~self.counts
        changed = np.array([normal_answer(t) != normal_answer(b) for t, b in zip(said, self.before, strict=True)])
        kinds = np.array([s.question_type or s.answer_type or "all" for s in self.samples], object)
        lost = {kind: float((was - right)[rows].mean()) for kind, rows in _groups(kinds, staying).items()}
        official = np.array([s.answer_type or "other" for s in self.samples], object)
        names = sorted(set(official))
        side = AnswerSideEffects(
            accuracy={"all": estimate(right)} | {k: estimate(right[official == k]) for k in names},
            accuracy_plain={"all": float(was.mean())} | {k: float(was[official == k].mean()) for k in names},
            lost=lost,
            own_types=sorted(set(kinds[self.counts])),
            collateral=estimate(changed[staying].astype(float)) if staying.any() else None,
            answers_moved=_moves(said, self.before),
        )
        return side, max(lost.values(), default=0.0)


def worked(task: Task, said: Sequence[str], before: Sequence[str]) -> Float[np.ndarray, " n"]:
    """1 where a text is as `task` wants, 0 where not, NaN where the sample does not count.

    Args:
        said: the texts.
        before: what the unsteered model says of the same samples.
    """
    pairs = zip(said, before, strict=True)
    return np.array([float(task.worked(t, b)) if task.counts(b) else np.nan for t, b in pairs])


def staying(task: Task | None, before: Sequence[str]) -> Bool[np.ndarray, " n"] | None:
    """Which answers `task` leaves alone, given what the unsteered model says; None for captions."""
    return None if not isinstance(task, AnswerTask) else np.array([not task.counts(b) for b in before])


def _groups(kinds: np.ndarray, chosen: Bool[np.ndarray, " n"]) -> dict[str, Bool[np.ndarray, " n"]]:
    """Kind of question → which of the `chosen` are of it; kinds with fewer than `FEW` of them are one group."""
    counted = Counter(kinds[chosen])
    named = np.array([kind if counted[kind] >= FEW else "rare" for kind in kinds], object)
    return {kind: chosen & (named == kind) for kind in sorted(set(named[chosen]))}


def _moves(said: Sequence[str], before: Sequence[str], n: int = 8) -> list[tuple[str, str, int]]:
    """The most frequent changes of answers: (from, to, how often)."""
    pairs = Counter((b, t) for t, b in zip(said, before, strict=True) if t != b)
    return [(b, t, count) for (b, t), count in pairs.most_common(n)]
