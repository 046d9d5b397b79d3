"""Verdicts: what follows from a number, in words. The one home of such sentences, for pages, tables and JSON.

A verdict is made from an estimate, its control and a test between them. Its kind never stands alone: a page shows the
mark and the words, so that nothing hangs on colour.

| kind | mark | what it says |
|---|---|---|
| good | ✓ | the number supports what it is taken for |
| bad | ✗ | the number speaks against it |
| unclear | ? | the data do not tell |
| warning | ! | the number stands, but must be read with care |
| note | · | a fact to know, neither good nor bad |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vitrail.scores.intervals import Alternative, Estimate

Kind = Literal["good", "bad", "unclear", "warning", "note"]
MARKS: dict[Kind, str] = {"good": "✓", "bad": "✗", "unclear": "?", "warning": "!", "note": "·"}
MEANINGS: dict[Kind, str] = {
    "good": "supports what it is taken for",
    "bad": "speaks against it",
    "unclear": "the data do not tell",
    "warning": "read with care",
    "note": "a fact, neither good nor bad",
}

#: A difference counts from here down: the usual level, of a p-value, or of a false discovery rate over many tests.
SIGNIFICANT = 0.05
#: From this cosine on, a concept that was learned again is the same (26 degrees apart).
STABLE = 0.9
#: Below this cosine (45 degrees apart) less than half of the squared length of a concept that was learned again lies
#: along the first: it is another one.
UNSTABLE = 0.7
#: Concepts that explain less of the variance than this leave out more than they hold.
EXPLAINED = 0.5
#: AUROCs from which a value is told well, and told in part (Hosmer & Lemeshow 2000, section 5.2.4).
TOLD_WELL, TOLD_IN_PART = 0.9, 0.7


@dataclass(frozen=True)
class Verdict:
    """What follows from a number.

    Args:
        kind: what it means for the reader; see the table above.
        text: the sentence, without a full stop.
    """

    kind: Kind
    text: str

    @property
    def mark(self) -> str:
        """The symbol of the kind."""
        return MARKS[self.kind]

    def __str__(self) -> str:
        return f"{self.mark} {self.text}"


# ---- how numbers are written -----------------------------------------------------------------------------------------


def missing(value: float | None) -> bool:
    """Whether there is no number: None or NaN."""
    return value is None or math.isnan(value)


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many digits behind the point, two from 1 on, without the zero before it; a dash for none.

    >>> number(0.61), number(-0.0001), number(1.024), number(0.97, digits=2)
    ('.610', '.000', '1.02', '.97')
    """
    if value is None or math.isnan(value):
        return "–"
    value = round(value, digits) + 0.0  # no "1.000" beside "1.00", and no "-.000"
    text = f"{value:.{digits if abs(value) < 1 else 2}f}"
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


def percent(value: float | None) -> str:
    """0.1234 as "12 %"; below 10 % with one decimal; a dash where there is no number."""
    if value is None or math.isnan(value):
        return "–"
    return f"{100 * value:.1f} %" if 0 < abs(value) < 0.0995 else f"{100 * value:.0f} %"


def p_value(p: float | None) -> str:
    """A p-value as it stands after its letter: "= .013", "= .0005" or "< .0001"; a dash where there is none.

    >>> p_value(0.013), p_value(0.00049), p_value(0.00001)
    ('= .013', '= .0005', '< .0001')
    """
    if p is None or math.isnan(p):
        return "–"
    if p < 0.0001:
        return "< .0001"
    rounds_badly = p < 0.00095 or 0.0495 <= p < 0.05  # to 0, or to the level of a test that it passes
    return f"= {number(p, 4 if rounds_badly else 3)}"


# ---- a score beside its control --------------------------------------------------------------------------------------


def against(gain: float, p: float, control: str, *, alternative: Alternative = "two-sided", name: str = "p") -> Verdict:
    """A score that should be above its control, after a test between them.

    Args:
        gain: the score minus the control.
        p: of the test, whose alternative is `alternative`; NaN if there was none. A one-sided p-value near 1 says that
            the score is below its control.
        control: what it is held against, in words: "random words".
        name: the letter of the p-value; "q" where it is corrected for several tests.

    >>> str(against(0.2, 0.0005, "random words"))
    '✓ better than random words (p = .0005)'
    """
    if missing(p) or missing(gain):
        return Verdict("unclear", f"not tested against {control}")
    said = f"({name} {p_value(p)})"
    if p < SIGNIFICANT and gain > 0:
        return Verdict("good", f"better than {control} {said}")
    if p < SIGNIFICANT:
        return Verdict("bad", f"worse than {control} {said}")
    if alternative == "greater" and p > 1 - SIGNIFICANT and gain < 0:
        return Verdict("bad", f"worse than {control} (one-sided {name} {p_value(p)})")
    return Verdict("unclear", f"not told apart from {control} {said}")


def against_upper_mark(gain: float, p: float, mark: str) -> Verdict:
    """A score beside what it can hardly reach, such as captions that people wrote: being below it is no fault."""
    if missing(p) or missing(gain):
        return Verdict("unclear", f"not tested against {mark}")
    if p >= SIGNIFICANT:
        return Verdict("good", f"not told apart from {mark} (p {p_value(p)})")
    return Verdict("note", f"{'above' if gain > 0 else 'below'} {mark} (p {p_value(p)})")


def beside_level(value: Estimate, level: float, what: str, *, lower_is_better: bool = False) -> Verdict:
    """A score beside the level that chance gives, which has no test: whether its 95 % interval excludes the level."""
    if missing(level):
        return Verdict("note", "nothing to hold it against")
    if missing(value.low):
        return Verdict("unclear", f"no interval: not told apart from {what}")
    if value.low <= level <= value.high:
        return Verdict("unclear", f"not told apart from {what} (in its 95 % interval)")
    if (value.mean > level) != lower_is_better:
        return Verdict("good", f"better than {what} (outside its 95 % interval)")
    return Verdict("bad", f"worse than {what} (outside its 95 % interval)")


def between(gain: float, p: float, other: str, *, name: str = "q") -> Verdict:
    """A difference between two of equal rights: neither direction is a fault."""
    if missing(p) or missing(gain):
        return Verdict("unclear", f"not tested against {other}")
    if p >= SIGNIFICANT:
        return Verdict("unclear", f"not told apart from {other} ({name} {p_value(p)})")
    return Verdict("note", f"{'better' if gain > 0 else 'worse'} than {other} ({name} {p_value(p)})")


# ---- concepts --------------------------------------------------------------------------------------------------------


def stability(cosine: float, over: Literal["seeds", "resamples"], by_chance: float = math.nan) -> Verdict:
    """Whether a concept, or a dictionary on average, is found again.

    Args:
        cosine: with what was learned again.
        by_chance: that of dictionaries of samples drawn at random, where it is known: states share most of their
            direction, so a high cosine may mean little.
    """
    if missing(cosine):
        return Verdict("unclear", f"stability over {over} not measured")
    if cosine < UNSTABLE:
        return Verdict("bad", f"unstable over {over}: do not interpret")
    if cosine <= by_chance:
        return Verdict("bad", f"no more stable over {over} than random samples: do not interpret")
    if cosine < STABLE:
        return Verdict("warning", f"partly stable over {over}: read with care")
    return Verdict("good", f"stable over {over}")


def explained(share: float, of: str = "how the states differ") -> Verdict:
    """How much of the variance the concepts explain, of all states or of one."""
    if missing(share):
        return Verdict("unclear", f"unknown: there is nothing in {of} to explain")
    if share <= 0:
        return Verdict("bad", f"nothing of {of} is explained: the mean state is as near")
    if share < EXPLAINED:
        return Verdict("warning", f"less than half of {of} is explained")
    return Verdict("good", f"most of {of} is explained")


def dead(n: int) -> Verdict:
    """Concepts that no sample activates."""
    return Verdict("warning", f"{n} are never active: ask for fewer") if n else Verdict("good", "every concept is used")


def equal(n: int) -> Verdict:
    """Concepts that are the same as another one."""
    if not n:
        return Verdict("good", "no two concepts are the same")
    return Verdict("bad", f"{n} the same as an earlier concept: ask for fewer")


def told(auroc: Estimate) -> Verdict:
    """Whether a property of new samples is told; the interval of the AUROC must exclude .50."""
    if missing(auroc.mean):
        return Verdict("unclear", "not measured")
    if not missing(auroc.low) and auroc.low <= 0.5:
        return Verdict("unclear", "not told apart from chance")
    if auroc.mean >= TOLD_WELL:
        return Verdict("good", "told well")
    return Verdict("good", "told in part") if auroc.mean >= TOLD_IN_PART else Verdict("warning", "hardly told")


def lost(difference: Estimate, by: str, of: str) -> Verdict:
    """How much of an AUROC is lost from one reading of the states to another.

    Args:
        difference: of the two AUROCs on the same samples.
        by: what loses, in words: "the dictionary".
        of: of what: "the states hold".
    """
    if missing(difference.mean):
        return Verdict("unclear", "not measured")
    if difference.low <= 0:
        return Verdict("good", f"{by} is not told apart from what {of}")
    return Verdict("warning", f"{by} loses {number(difference.mean)} of what {of}")


def sparse(active: float, n: float) -> Verdict:
    """How many of `n` concepts are active in a sample, on average."""
    if missing(active):
        return Verdict("unclear", "not measured")
    if active <= n / 2:
        return Verdict("good", "sparse: at most half of the concepts are active in a sample")
    return Verdict("warning", "not sparse: more than half of the concepts are active in a sample")


# ---- correlations, budgets, losses -----------------------------------------------------------------------------------


def correlated(r: float, p: float) -> Verdict:
    """A correlation and its p-value."""
    if missing(p):
        return Verdict("unclear", "too few values, or all are equal")
    if p >= SIGNIFICANT:
        return Verdict("unclear", f"no correlation found (p {p_value(p)})")
    return Verdict("note", f"{'they rise together' if r > 0 else 'one falls where the other rises'} (p {p_value(p)})")


def within_budget(cost: float, budget: float) -> Verdict:
    """What a change cost, beside what it may cost; shares."""
    if missing(cost):
        return Verdict("unclear", "cost not measured")
    if cost > budget:
        return Verdict("bad", f"budget exceeded: {percent(cost)} lost, at most {percent(budget)} allowed")
    return Verdict("good", f"within the budget of {percent(budget)}")


def broken_texts(reasons: Sequence[str], what: str) -> Verdict:
    """Whether texts are broken.

    Args:
        reasons: why, each with its figure; empty where they are not.
        what: what the texts are: "captions".
    """
    if reasons:
        return Verdict("bad", f"the {what} are broken: {'; '.join(reasons)}")
    return Verdict("good", f"the {what} are not broken")


def loss_fell(before: float, after: float) -> Verdict:
    """The loss on held-out examples before a training and at its best."""
    if missing(before) or missing(after):
        return Verdict("unclear", "loss not measured")
    if after < before:
        return Verdict("good", f"the held-out loss fell by {percent(1 - after / before)}")
    return Verdict("bad", "the held-out loss did not fall: nothing was learned that carries over")


def changed(by: float, p: float, *, name: str = "q") -> Verdict:
    """A count or a mean that rose or fell, where neither is better."""
    if missing(p):
        return Verdict("unclear", "not tested")
    if p >= SIGNIFICANT:
        return Verdict("unclear", f"no change found ({name} {p_value(p)})")
    return Verdict("note", f"{'rose' if by > 0 else 'fell'} ({name} {p_value(p)})")
