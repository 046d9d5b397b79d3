"""What texts lost under a steering: fluency, length and fit to the references, and whether they are broken.

Every figure stands beside that of the unsteered model's texts of the same samples. Four of them decide whether the
texts are broken; `docs/steering.md` says where the thresholds come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from vitrail.lmm import LMM
from vitrail.samples import Sample
from vitrail.scores import Estimate, Verdict, cider_d, distinct, estimate, repeats, tokens, verdicts, vqa_accuracy
from vitrail.trials.texts import surprise

#: Texts are broken if their perplexity is more than so many times that of the unsteered ones,
PERPLEXITY = 2.0
#: if so many more of them, as a share of all, say a phrase twice in a row,
REPEATS = 0.1
#: if they are more than so many times as long, or the unsteered ones more than so many times as long as they,
LENGTH = 2.0
#: or if they lose more than this share of CIDEr-D, or of the accuracy of the answers that were to stay.
FIT = 0.5
#: The perplexity of texts that have at most so many words, unsteered, does not count: an answer that is to become
#: another one becomes one that the unsteered model finds improbable.
SHORT = 3.0


@dataclass(frozen=True)
class TextFigures:
    """Figures of some texts, whatever they are about.

    Args:
        perplexity: under the unsteered model, after the request that was made; None where it was not measured.
        words: mean number of words of a text.
        repeats: share of the texts that say a phrase twice in a row, 0 to 1; see `scores.repeats`.
        distinct: distinct-2 of the texts, 0 to 1; see `scores.distinct`.
        cider: CIDEr-D, 0 to 10; None without references.
        accuracy: VQAv2's accuracy of the answers that the task leaves alone, 0 to 1; None where there are none.
    """

    perplexity: float | None
    words: float
    repeats: float
    distinct: float
    cider: Estimate | None
    accuracy: Estimate | None = None

    @property
    def fit(self) -> dict[str, float]:
        """What was measured of how the texts fit what people said, by name: the larger the better."""
        found = {"CIDEr-D": self.cider, "accuracy of the other answers": self.accuracy}
        return {name: value.mean for name, value in found.items() if value is not None}


@dataclass(frozen=True)
class TextLoss:
    """What some texts lost.

    Args:
        plain: the figures of what the unsteered model says of the same samples.
        steered: the figures of the texts.
        changed: share of the texts that are not what the unsteered model says, 0 to 1.
        broken: why the texts are broken, a reason each with both figures; empty where they are not.
        what: "captions" or "answers".
    """

    plain: TextFigures
    steered: TextFigures
    changed: float
    broken: tuple[str, ...]
    what: Literal["captions", "answers"] = "captions"

    @property
    def verdict(self) -> Verdict:
        """Whether the texts are broken."""
        return verdicts.broken_texts(self.broken, self.what)

    def __str__(self) -> str:
        """The verdict and the figures that it comes from."""
        if self.broken:
            return self.verdict.text
        was, now = self.plain, self.steered
        figures = [f"{self.changed:.0%} of the {self.what} changed", f"{now.words:.1f} words ({was.words:.1f})"]
        if now.perplexity is not None and was.perplexity is not None:
            figures.append(f"perplexity {now.perplexity:.1f} ({was.perplexity:.1f})")
        figures += [f"{name} {now.fit[name]:.2f} ({before:.2f})" for name, before in was.fit.items()]
        return f"{self.verdict.text}: {', '.join(figures)}; in brackets without steering"


def reasons(was: TextFigures, now: TextFigures) -> tuple[str, ...]:
    """Why texts with the figures `now` are broken beside unsteered ones with the figures `was`; empty where not."""
    found = []
    if was.words > SHORT and _over(now.perplexity, was.perplexity, PERPLEXITY):
        found.append(f"perplexity {now.perplexity:.1f} (unsteered {was.perplexity:.1f})")
    if now.repeats > was.repeats + REPEATS:
        found.append(f"{now.repeats:.0%} say a phrase twice in a row (unsteered {was.repeats:.0%})")
    if _over(now.words, was.words, LENGTH) or _over(was.words, now.words, LENGTH):
        found.append(f"{now.words:.1f} words a text (unsteered {was.words:.1f})")
    for name, before in was.fit.items():
        if now.fit.get(name, before) < (1 - FIT) * before:
            found.append(f"{name} {now.fit[name]:.2f} (unsteered {before:.2f})")
    return tuple(found)


def _over(large: float | None, small: float | None, times: float) -> bool:
    """Whether `large` is more than so many times `small`; no where one of them was not measured."""
    return large is not None and small is not None and large > times * small


@dataclass(frozen=True)
class LossMeter:
    """Measures what texts about `samples` lost against what the unsteered model says of them, `before`.

    Args:
        lmm: the unsteered model, for the perplexity; None leaves it out.
        batch_size: samples in a batch.
        staying: of questions, which answers a task leaves alone; their accuracy is left out for None.
        surprises: what was measured so far: (place of the sample, question, text) → the surprise of the text.
    """

    samples: Sequence[Sample]
    before: Sequence[str]
    lmm: LMM | None = None
    batch_size: int = 32
    staying: Bool[np.ndarray, " n"] | None = None
    surprises: dict[tuple[int, str | None, str], float] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def loss(self, said: Sequence[str], asked: Sequence[Sample] | None = None) -> TextLoss:
        """What the texts `said`, one for each sample, lost. Call it outside `steer`: it asks the unsteered model.

        Args:
            asked: the samples with the requests that were made, where these are others than those of `samples`.
        """
        changed = float(np.mean([t != b for t, b in zip(said, self.before, strict=True)]))
        now = self._figures(said, asked or self.samples)
        return TextLoss(self.plain, now, changed, reasons(self.plain, now), "answers" if self._asked else "captions")

    @property
    def _asked(self) -> bool:
        """Whether the samples are questions."""
        return any(s.question for s in self.samples)

    @cached_property
    def plain(self) -> TextFigures:
        """The figures of what the unsteered model says."""
        return self._figures(self.before, self.samples)

    def _figures(self, said: Sequence[str], asked: Sequence[Sample]) -> TextFigures:
        perplexity = None if self.lmm is None else float(np.exp(self._surprise(said, asked, self.lmm).mean()))
        references = [s.references for s in self.samples]
        scored = len(references) > 1 and all(references) and not self._asked
        return TextFigures(
            perplexity,
            float(np.mean([len(tokens(t)) for t in said])),
            float(np.mean([repeats(t) for t in said])),
            distinct(said),
            estimate(cider_d(said, references)) if scored else None,
            self._accuracy(said),
        )

    def _accuracy(self, said: Sequence[str]) -> Estimate | None:
        if self.staying is None or not self.staying.any():
            return None
        kept = [(t, s.answers) for t, s, stays in zip(said, self.samples, self.staying, strict=True) if stays]
        return estimate(np.array([vqa_accuracy(t, answers) for t, answers in kept]))

    def _surprise(self, said: Sequence[str], asked: Sequence[Sample], lmm: LMM) -> Float[np.ndarray, " n"]:
        """The surprise of each text; it is computed once where several steerings say the same of a sample."""
        keys = [(i, s.question, t) for i, (s, t) in enumerate(zip(asked, said, strict=True))]
        new = [k for k in keys if k not in self.surprises]
        if new:
            losses = surprise(lmm, [asked[i] for i, _, _ in new], [t for *_, t in new], batch_size=self.batch_size)
            self.surprises.update(zip(new, losses.tolist(), strict=True))
        return np.array([self.surprises[k] for k in keys])
