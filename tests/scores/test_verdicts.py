"""What follows from numbers, in words: a row per case."""

from __future__ import annotations

import pytest

from vitrail.scores import Estimate, verdicts
from vitrail.scores.verdicts import MARKS, MEANINGS, Verdict

NAN = float("nan")


def interval(mean: float, low: float, high: float) -> Estimate:
    return Estimate(mean, NAN, low, high, 20)


NOTHING = Estimate(NAN, NAN, NAN, NAN, 0)

CASES = [
    # a score beside a control, two-sided: the last row of them is a BERTScore of .351 against .371 of noise images
    (verdicts.against(0.2, 0.0005, "random words"), "✓ better than random words (p = .0005)"),
    (verdicts.against(0.2, 0.21, "random words"), "? not told apart from random words (p = .210)"),
    (verdicts.against(0.2, 0.05, "random words"), "? not told apart from random words (p = .050)"),
    (verdicts.against(0.2, 0.0499, "random words"), "✓ better than random words (p = .0499)"),
    (verdicts.against(NAN, NAN, "random words"), "? not tested against random words"),
    (verdicts.against(0.351 - 0.371, 0.00001, "noise images"), "✗ worse than noise images (p < .0001)"),
    # one-sided: the test looks for an increase, so that a decrease has a p near 1
    (
        verdicts.against(-0.1, 0.99, "random words", alternative="greater"),
        "✗ worse than random words (one-sided p = .990)",
    ),
    (
        verdicts.against(-0.1, 0.8, "random words", alternative="greater"),
        "? not told apart from random words (p = .800)",
    ),
    (
        verdicts.against(0.1, 0.01, "random words", alternative="greater", name="q"),
        "✓ better than random words (q = .010)",
    ),
    # beside what is hardly ever reached
    (verdicts.against_upper_mark(-0.3, 0.001, "human captions"), "· below human captions (p = .001)"),
    (verdicts.against_upper_mark(0.3, 0.001, "human captions"), "· above human captions (p = .001)"),
    (verdicts.against_upper_mark(0.01, 0.5, "human captions"), "✓ not told apart from human captions (p = .500)"),
    (verdicts.against_upper_mark(NAN, NAN, "human captions"), "? not tested against human captions"),
    # beside a level without a test
    (verdicts.beside_level(interval(0.6, 0.5, 0.7), 0.3, "noise"), "✓ better than noise (outside its 95 % interval)"),
    (verdicts.beside_level(interval(0.2, 0.1, 0.25), 0.3, "noise"), "✗ worse than noise (outside its 95 % interval)"),
    (
        verdicts.beside_level(interval(0.6, 0.5, 0.7), 0.3, "noise", lower_is_better=True),
        "✗ worse than noise (outside its 95 % interval)",
    ),
    (
        verdicts.beside_level(interval(0.3, 0.2, 0.4), 0.35, "noise"),
        "? not told apart from noise (in its 95 % interval)",
    ),
    (verdicts.beside_level(NOTHING, 0.35, "noise"), "? no interval: not told apart from noise"),
    (verdicts.beside_level(interval(0.3, 0.2, 0.4), NAN, ""), "· nothing to hold it against"),
    # two of equal rights
    (verdicts.between(0.1, 0.01, "PCA"), "· better than PCA (q = .010)"),
    (verdicts.between(-0.1, 0.01, "PCA"), "· worse than PCA (q = .010)"),
    (verdicts.between(-0.1, 0.3, "PCA"), "? not told apart from PCA (q = .300)"),
    (verdicts.between(NAN, NAN, "PCA"), "? not tested against PCA"),
    # stability
    (verdicts.stability(0.95, "seeds"), "✓ stable over seeds"),
    (verdicts.stability(0.9, "seeds"), "✓ stable over seeds"),
    (verdicts.stability(0.85, "resamples"), "! partly stable over resamples: read with care"),
    (verdicts.stability(0.69, "resamples"), "✗ unstable over resamples: do not interpret"),
    (verdicts.stability(0.96, "seeds", 0.97), "✗ no more stable over seeds than random samples: do not interpret"),
    (verdicts.stability(NAN, "seeds"), "? stability over seeds not measured"),
    # how much is explained
    (verdicts.explained(0.86), "✓ most of how the states differ is explained"),
    (verdicts.explained(0.5), "✓ most of how the states differ is explained"),
    (verdicts.explained(0.49), "! less than half of how the states differ is explained"),
    (
        verdicts.explained(-0.1, "what sets this image apart"),
        "✗ nothing of what sets this image apart is explained: the mean state is as near",
    ),
    (verdicts.explained(NAN), "? unknown: there is nothing in how the states differ to explain"),
    (verdicts.dead(0), "✓ every concept is used"),
    (verdicts.dead(3), "! 3 are never active: ask for fewer"),
    (verdicts.sparse(10.0, 20), "✓ sparse: at most half of the concepts are active in a sample"),
    (verdicts.sparse(10.98, 20), "! not sparse: more than half of the concepts are active in a sample"),
    (verdicts.sparse(NAN, 20), "? not measured"),
    # known factors
    (verdicts.told(interval(0.93, 0.85, 0.98)), "✓ told well"),
    (verdicts.told(interval(0.8, 0.6, 0.9)), "✓ told in part"),
    (verdicts.told(interval(0.65, 0.6, 0.7)), "! hardly told"),
    (verdicts.told(interval(0.65, 0.47, 0.7)), "? not told apart from chance"),
    (verdicts.told(NOTHING), "? not measured"),
    (
        verdicts.lost(interval(0.1, 0.08, 0.12), "the dictionary", "the states hold"),
        "! the dictionary loses .100 of what the states hold",
    ),
    (
        verdicts.lost(interval(0.01, -0.01, 0.03), "the dictionary", "the states hold"),
        "✓ the dictionary is not told apart from what the states hold",
    ),
    (verdicts.lost(NOTHING, "the dictionary", "the states hold"), "? not measured"),
    # the rest
    (verdicts.correlated(0.4, 0.0016), "· they rise together (p = .002)"),
    (verdicts.correlated(-0.4, 0.0016), "· one falls where the other rises (p = .002)"),
    (verdicts.correlated(0.4, 0.2), "? no correlation found (p = .200)"),
    (verdicts.correlated(NAN, NAN), "? too few values, or all are equal"),
    (verdicts.within_budget(0.04, 0.1), "✓ within the budget of 10 %"),
    (verdicts.within_budget(0.23, 0.1), "✗ budget exceeded: 23 % lost, at most 10 % allowed"),
    (verdicts.within_budget(0.1, 0.1), "✓ within the budget of 10 %"),
    (verdicts.within_budget(0.11, 0.1), "✗ budget exceeded: 11 % lost, at most 10 % allowed"),
    (verdicts.within_budget(NAN, 0.1), "? cost not measured"),
    (verdicts.broken_texts(["perplexity 9", "2 words"], "answers"), "✗ the answers are broken: perplexity 9; 2 words"),
    (verdicts.broken_texts((), "captions"), "✓ the captions are not broken"),
    (verdicts.loss_fell(1.338, 0.764), "✓ the held-out loss fell by 43 %"),
    (verdicts.loss_fell(1.3, 1.3), "✗ the held-out loss did not fall: nothing was learned that carries over"),
    (verdicts.loss_fell(NAN, 1.3), "? loss not measured"),
    (verdicts.changed(3, 0.01), "· rose (q = .010)"),
    (verdicts.changed(-3, 0.01), "· fell (q = .010)"),
    (verdicts.changed(3, 0.4), "? no change found (q = .400)"),
    (verdicts.changed(3, NAN), "? not tested"),
]


@pytest.mark.parametrize(("verdict", "sentence"), CASES, ids=[sentence for _, sentence in CASES])
def test_a_number_becomes_a_sentence(verdict: Verdict, sentence: str):
    assert str(verdict) == sentence


def test_no_case_shows_a_number_that_is_not_there():
    assert not [s for _, s in CASES if "nan" in s.split()]


def test_every_kind_has_its_own_mark_and_a_meaning():
    assert len(set(MARKS.values())) == len(MARKS)
    assert set(MEANINGS) == set(MARKS)
    assert {v.kind for v, _ in CASES} == set(MARKS)
