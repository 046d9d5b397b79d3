"""The judge: effect, cost and side effects."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vitrail.errors import DataError
from vitrail.scores import meteor
from vitrail.steering import (
    TASKS,
)
from vitrail.trials import (
    Judge,
)

YES_NO = TASKS["yes-no"]


def test_the_effect_and_the_cost_of_answers_are_counted(lmm, asked):
    some = [s for s in asked if s.question_type in ("yes/no", "colour")]
    before = [max(s.answers, key=s.answers.count) for s in some]
    said = ["no" if b == "yes" else b for b in before]
    colours = [i for i, s in enumerate(some) if s.question_type == "colour"]
    said[colours[0]] = "no"
    outcome = Judge(YES_NO, some, before).judge(said)
    assert outcome.effect.mean == 1.0
    assert outcome.effect.n == before.count("yes")
    assert outcome.cost == pytest.approx(1 / len(colours), abs=0.02)
    assert list(outcome.side.lost) == ["colour", "yes/no"]  # those of its own type that were no "yes" are to stay
    assert outcome.side.lost["yes/no"] == 0.0
    assert outcome.side.answers_moved[0] == ("yes", "no", before.count("yes"))
    assert outcome.side.collateral.mean == pytest.approx(1 / (len(some) - before.count("yes")))
    official = outcome.side.accuracy
    assert official["all"].mean < outcome.side.accuracy_plain["all"] == pytest.approx(1.0, abs=0.05)
    assert {"all", "yes/no", "other"} <= set(official)
    assert outcome.p < 0.05 or before.count("yes") < 6
    with pytest.raises(DataError, match="says nothing"):
        Judge(YES_NO, some, ["no"] * len(some))


def test_the_rest_of_a_caption_is_what_the_topic_leaves(samples):
    place, colour = TASKS["place"], TASKS["colour"]
    assert place.rest("a dog on the grass").split() == ["a", "dog"]
    assert colour.rest("a red dog that is brown").split() == ["a", "dog"]
    before = [colour.rest(s.references[0]) for s in samples[:6]]
    judge = Judge(colour, samples[:6], before)
    outcome = judge.judge([f"red {b}" for b in before])
    assert (outcome.effect.mean, outcome.cost) == (1.0, pytest.approx(0.0))
    assert judge.judge(["a red red thing"] * 6).cost > 0.3


def test_captions_are_scored_by_meteor_where_nltk_is_installed(samples, monkeypatch):
    colour, said = TASKS["colour"], [s.references[1] for s in samples[:4]]
    judge = Judge(colour, samples[:4], said)
    references = [s.references for s in samples[:4]]
    assert judge.judge(said).side.meteor == pytest.approx(float(meteor(said, references).mean()))
    monkeypatch.setattr("vitrail.trials.judge.has_meteor", lambda: False)
    assert judge.judge(said).side.meteor is None


def test_rare_types_of_questions_are_judged_together(asked):
    some = [s for s in asked if s.question_type == "yes/no"][:12]
    yes = [replace(s, answers=("yes",) * 10) for s in some]
    stay = [replace(s, question_type=f"type {i % 5}", answers=("red",) * 10) for i, s in enumerate(some)]
    before = ["yes"] * 12 + ["red"] * 12
    outcome = Judge(YES_NO, yes + stay, before).judge(["no"] * 12 + ["blue"] + ["red"] * 11)
    assert outcome.side.lost == {"rare": pytest.approx(1 / 12)}
    assert outcome.cost == pytest.approx(1 / 12)
