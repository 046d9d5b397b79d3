"""What a steering did: its effect, and what else changed, with intervals and p-values against no steering."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy.stats import binomtest

from vitrail.errors import DataError
from vitrail.lmm import LMM
from vitrail.lmm.scorers import ImageTextScorer
from vitrail.samples import Sample
from vitrail.scores import clip_score, estimate, paired_p
from vitrail.trials.metrics import bleu, cider_d, distinct, normal_answer, surprise, vqa_accuracy
from vitrail.trials.tasks import AnswerTask, CaptionTask, Task

#: Types of questions with fewer than these are judged together: the accuracy of two questions says nothing.
FEW = 10


@dataclass(frozen=True)
class Outcome:
    """The figures of one steering on some samples.

    Args:
        effect: share of the samples that count whose text is as wanted, `{"mean", "low", "high", "n"}`.
        p: that of its difference to no steering, by random changes of sign.
        cost: how much the rest lost, 0 to 1: captions' CIDEr without the topic, relative to no steering's; or the most
            accuracy that a type of question lost on answers that were to stay.
        side: everything else that was measured.
    """

    effect: dict[str, float]
    p: float
    cost: float
    side: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Judge:
    """Measures what is said of `samples` against what the plain model says of them, `before`.

    Args:
        lmm: the unsteered model, for fluency; None leaves it out.
        scorer: for CLIPScore; None leaves it out.
    """

    task: Task
    samples: Sequence[Sample]
    before: Sequence[str]
    lmm: LMM | None = None
    scorer: ImageTextScorer | None = None
    _seen: dict[tuple[int, str], float] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not any(self.counts):
            raise DataError(
                f"The plain model says nothing of these {len(self.samples)} samples that {self.task.name!r} is to "
                "change. Give more samples."
            )

    @cached_property
    def _pictures(self) -> np.ndarray:
        """(n, d): the images as the scorer sees them."""
        assert self.scorer is not None
        return np.concatenate(self.scorer.images([s.open() for s in self.samples]))

    @cached_property
    def counts(self) -> np.ndarray:
        """(n,) bool: the samples that the effect is measured on."""
        return np.array([self.task.counts(b) for b in self.before], bool)

    def worked(self, said: Sequence[str]) -> np.ndarray:
        """(n,) float: 1 where the text is as wanted, 0 where not, NaN where the sample does not count."""
        found = np.array([self.task.worked(t, b) for t, b in zip(said, self.before, strict=True)], float)
        return np.where(self.counts, found, np.nan)

    def judge(self, said: Sequence[str]) -> Outcome:
        """The figures of `said`."""
        worked, plain = self.worked(said), self.worked(self.before)
        effect = _interval(worked)
        same = [t == b for t, b in zip(said, self.before, strict=True)]
        side: dict[str, Any] = {"changed": 1 - float(np.mean(same)), "distinct": distinct(said)}
        if self.lmm is not None:
            side["perplexity"] = float(np.exp(self._surprise(said, self.lmm).mean()))
        if self.scorer is not None and isinstance(self.task, CaptionTask):
            texts = np.concatenate(self.scorer.texts(said))
            side["clip_score"] = _interval(np.diagonal(clip_score(self._pictures, texts)))
        if isinstance(self.task, CaptionTask):
            more, cost = self._of_captions(said, self.task)
        else:
            more, cost = self._of_answers(said, self.task)
        return Outcome(effect, paired_p(worked, plain), cost, side | more)

    def _surprise(self, said: Sequence[str], lmm: LMM) -> np.ndarray:
        """(n,): of each text; looked at once where several steerings say the same of a sample."""
        new = [i for i, t in enumerate(said) if (i, t) not in self._seen]
        if new:
            some = [self.samples[i] for i in new]
            losses = surprise(lmm, [s.open() for s in some], [lmm.request(s) for s in some], [said[i] for i in new])
            self._seen.update({(i, said[i]): float(loss) for i, loss in zip(new, losses, strict=True)})
        return np.array([self._seen[i, t] for i, t in enumerate(said)])

    def _of_captions(self, said: Sequence[str], task: CaptionTask) -> tuple[dict[str, Any], float]:
        references = [s.references for s in self.samples]
        rest = [tuple(map(task.rest, refs)) for refs in references]
        cider, without = cider_d(said, references), cider_d([task.rest(t) for t in said], rest)
        plain = cider_d([task.rest(b) for b in self.before], rest)
        level = float(plain.mean())
        side = {
            "cider": _interval(cider),
            "cider_rest": _interval(without),
            "cider_rest_p": paired_p(without, plain),
            "bleu": bleu(said, references),
        }
        return side, float(1 - without.mean() / level) if level > 0 else float("nan")

    def _of_answers(self, said: Sequence[str], task: AnswerTask) -> tuple[dict[str, Any], float]:
        right = np.array([vqa_accuracy(t, s.answers) for t, s in zip(said, self.samples, strict=True)])
        was = np.array([vqa_accuracy(b, s.answers) for b, s in zip(self.before, self.samples, strict=True)])
        others = ~self.counts
        changed = np.array([normal_answer(t) != normal_answer(b) for t, b in zip(said, self.before, strict=True)])
        kinds = np.array([s.question_type or s.answer_type or "all" for s in self.samples], object)
        lost = {kind: float((was - right)[rows].mean()) for kind, rows in _groups(kinds, others).items()}
        official = np.array([s.answer_type or "other" for s in self.samples], object)
        side = {
            "accuracy": {"all": _interval(right)} | {k: _interval(right[official == k]) for k in sorted(set(official))},
            "accuracy_plain": {"all": float(was.mean())} | {k: float(was[official == k].mean()) for k in set(official)},
            "lost": lost,
            "own_types": sorted(set(kinds[self.counts])),
            "collateral": _interval(changed[others].astype(float)) if others.any() else None,
            "answers_moved": _moves(said, self.before),
        }
        return side, max(lost.values(), default=0.0)


def _groups(kinds: np.ndarray, those: np.ndarray) -> dict[str, np.ndarray]:
    """Kind of question → which of `those` (n,) bool are of it; kinds with fewer than `FEW` of them are one group."""
    counted = Counter(kinds[those])
    named = np.array([kind if counted[kind] >= FEW else "rare" for kind in kinds], object)
    return {kind: those & (named == kind) for kind in sorted(set(named[those]))}


def _moves(said: Sequence[str], before: Sequence[str], n: int = 8) -> list[list[Any]]:
    """The changes of answers that happened most, as [from, to, how often]."""
    pairs = Counter((b, t) for t, b in zip(said, before, strict=True) if t != b)
    return [[b, t, count] for (b, t), count in pairs.most_common(n)]


def _interval(values: np.ndarray) -> dict[str, float]:
    found = estimate(values)
    return {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}


@dataclass(frozen=True)
class Narrowness:
    """How narrow a change is.

    Args:
        share: of all `changes`, that which the most frequent one, `most`, has; 0 without a change.
        low: what the share surely is, the lower end of its 95 % interval (Wilson 1927): of one change in one, .21.
    """

    share: float
    low: float
    changes: int
    most: str


def narrowness(said: Sequence[str], before: Sequence[str]) -> Narrowness:
    """How narrow the change from `before` to `said` is.

    A change of a short answer is (what was said, what is said); of a caption, each word that came in or went out. A
    fine vector that turns "white" into "black" and nothing else has a share of 1.
    """
    changes: Counter[str] = Counter()
    for text, was in zip(said, before, strict=True):
        if text == was:
            continue
        if len(text.split()) <= 2 and len(was.split()) <= 2:
            changes[f"{was} → {text}"] += 1
        else:
            changes.update(f"+{w}" for w in set(text.split()) - set(was.split()))
            changes.update(f"−{w}" for w in set(was.split()) - set(text.split()))
    if not changes:
        return Narrowness(0.0, 0.0, 0, "")
    most, n = min(changes.items(), key=lambda change: (-change[1], change[0]))
    total = changes.total()
    low = float(binomtest(n, total).proportion_ci(method="wilson").low)
    return Narrowness(n / total, low, total, most)
