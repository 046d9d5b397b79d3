"""What texts lost, and whether they are broken: told by Toyland's grammar, which the figures know nothing of."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from tools.toyland.grammar import is_sentence

from vitrail.scores import Estimate
from vitrail.steering import TASKS, Application, SteeringOptions, make_steering, until_said
from vitrail.trials import Judge, TextFigures, say_at_strengths
from vitrail.trials.losses import LossMeter, reasons
from vitrail.trials.texts import surprise


@pytest.fixture(scope="module")
def colour(lmm, samples, tmp_path_factory):
    """The mean vectors towards colours of layers 6 and 8."""
    out = tmp_path_factory.mktemp("colour") / "m"
    return make_steering(lmm, TASKS["colour"], samples[:60], SteeringOptions(layers=(6, 8)), out=out)


def test_broken_captions_are_told_from_those_that_are_not(lmm, samples, colour):
    """Good and too strong steerings: the verdict agrees with the share of captions that are no sentences."""
    shown, task = samples[-32:], TASKS["colour"]
    cases = [
        (colour.only(6), (0.5, 1.0, 4.0), until_said(lmm, task)),
        (colour, (0.5, 1.0, 4.0), None),
    ]
    found = {False: [], True: []}
    for steering, strengths, positions in cases:
        where = Application(positions=positions)
        plain, *steered = say_at_strengths(lmm, steering, shown, strengths, where, task=task)
        assert not plain.loss.broken
        assert str(plain.effect).startswith("? not told apart")
        assert all(map(is_sentence, plain.texts))
        for level in steered:
            found[level.alpha == 4.0].append(level)
    for strong, some in found.items():
        for level in some:
            wrong = 1 - float(np.mean([is_sentence(t) for t in level.texts]))
            assert bool(level.loss.broken) is strong, (level.alpha, level.loss)
            assert wrong > 0.5 if strong else wrong < 0.1, (level.alpha, wrong)
            assert str(level).startswith(f"{level.wanted.mean:.0%}")
            assert "no steering (p" in level.effect.text
            assert ("are broken" in str(level)) is strong
    assert found[True][0].wanted.mean > 0.9  # "as wanted" alone calls this a success


FIGURES = TextFigures(2.0, 6.0, 0.0, 0.5, Estimate(2.0, 0, 0, 0, 9))


@pytest.mark.parametrize(
    ("now", "what"),
    [
        ({}, ""),
        ({"perplexity": 3.9}, ""),
        ({"perplexity": 4.1}, r"perplexity 4\.1 \(unsteered 2\.0\)"),
        ({"perplexity": math.inf}, "perplexity inf"),
        ({"repeats": 0.09}, ""),
        ({"repeats": 0.11}, r"11% say a phrase twice in a row \(unsteered 0%\)"),
        ({"words": 11.9}, ""),
        ({"words": 12.1}, r"12\.1 words a text"),
        ({"words": 2.9}, r"2\.9 words a text"),
        ({"words": 0.0}, r"0\.0 words a text"),
        ({"cider": replace(FIGURES.cider, mean=1.01)}, ""),
        ({"cider": replace(FIGURES.cider, mean=0.99)}, r"CIDEr-D 0\.99 \(unsteered 2\.00\)"),
        ({"cider": None, "perplexity": None}, ""),
    ],
)
def test_every_figure_has_its_threshold(now, what):
    found = reasons(FIGURES, replace(FIGURES, **now))
    assert len(found) == bool(what)
    assert re.match(what, "".join(found))


def test_an_answer_that_becomes_another_is_not_broken_however_improbable():
    answers = replace(FIGURES, words=1.0, cider=None)
    assert not reasons(answers, replace(answers, perplexity=2000.0))
    assert reasons(answers, replace(answers, words=8.0))


def test_answers_that_were_to_stay_and_are_lost_are_broken(asked):
    task, some = TASKS["yes-no"], [s for s in asked if s.question_type in ("yes/no", "colour")]
    before = [max(s.answers, key=s.answers.count) for s in some]
    judge = Judge(task, some, before)
    narrow = judge.judge(["no" if b == "yes" else b for b in before])
    wide = judge.judge(["no"] * len(some))
    assert (narrow.effect.mean, wide.effect.mean) == (1.0, 1.0)
    assert narrow.loss.steered.accuracy == narrow.loss.plain.accuracy
    assert narrow.loss.broken == ()
    stay = [i for i, b in enumerate(before) if b != "yes"]
    assert wide.loss.steered.accuracy.mean == pytest.approx(sum(before[i] == "no" for i in stay) / len(stay), abs=0.05)
    assert wide.loss.broken[0].startswith("accuracy of the other answers")
    assert "the answers are broken" in wide.loss.verdict.text


def test_the_figures_are_those_of_the_texts(lmm, samples):
    some, said = samples[:3], ["a dog", "a dog", "a big big dog"]
    before = ["a dog", "a red cat", "a big dog"]
    loss = LossMeter(some, before, lmm).loss(said)
    assert loss.changed == pytest.approx(2 / 3)
    assert (loss.steered.words, loss.steered.repeats, loss.plain.repeats) == (pytest.approx(8 / 3), 1 / 3, 0.0)
    assert loss.steered.perplexity == pytest.approx(float(np.exp(surprise(lmm, some, said).mean())), rel=1e-4)
    assert loss.plain.perplexity == pytest.approx(float(np.exp(surprise(lmm, some, before).mean())), rel=1e-4)
    assert "33% say a phrase twice" in str(loss)
    asked = [TASKS["colour"].asked(s) for s in some]  # after another request, other texts are probable
    other = LossMeter(some, before, lmm).loss(said, asked)
    assert other.steered.perplexity == pytest.approx(float(np.exp(surprise(lmm, asked, said).mean())), rel=1e-4)
    without = LossMeter([replace(s, references=()) for s in some], before).loss(said)
    assert (without.steered.cider, without.steered.perplexity) == (None, None)
