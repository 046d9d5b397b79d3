"""Outcomes as JSON: the keys of version 0.1.0, there and back."""

from __future__ import annotations

import json

import pytest

from vitrail.errors import ArtifactError
from vitrail.trials import AnswerSideEffects, CaptionSideEffects, Outcome, open_contest, open_search

#: As version 0.1.0 wrote them.
INTERVAL = {"mean": 0.5, "low": 0.25, "high": 0.75, "n": 20}
CAPTIONS = {
    "effect": INTERVAL,
    "p": 0.129,
    "cost": 0.16,
    "side": {
        "changed": 0.6,
        "distinct": 0.78,
        "perplexity": 3.5,
        "cider": INTERVAL,
        "cider_rest": INTERVAL,
        "cider_rest_p": 0.0293,
        "bleu": 29.5,
    },
}
ANSWERS = {
    "effect": {"mean": 1.0, "low": None, "high": None, "n": 1},
    "p": 0.5,
    "cost": 0.0,
    "side": {
        "changed": 0.1,
        "distinct": 0.2,
        "accuracy": {"all": INTERVAL},
        "accuracy_plain": {"all": 0.9},
        "lost": {"colour": 0.1},
        "own_types": ["yes/no"],
        "collateral": None,
        "answers_moved": [["yes", "no", 3]],
    },
}


@pytest.mark.parametrize(("values", "kind"), [(CAPTIONS, CaptionSideEffects), (ANSWERS, AnswerSideEffects)])
def test_an_outcome_of_version_0_1_is_read_and_written_with_the_same_keys(values, kind):
    found = Outcome.from_dict(values)
    assert isinstance(found.side, kind)
    assert found.as_dict() == values
    assert list(found.as_dict()["side"]) == list(values["side"])


def test_a_table_of_version_0_1_is_read(tmp_path):
    speed = {"per_token": 0.001, "added": 0.0001, "share": {"median": 0.02, "low": -0.01, "high": 0.05, "n": 15}}
    row = {"name": "loreft (r)", "trained_parameters": 513, "seconds_to_train": 4.5, "speed": speed, **CAPTIONS}
    (tmp_path / "evaluate.json").write_text(json.dumps([row]))
    (found,) = open_contest(tmp_path)
    assert (found.parameters, found.speed.share.mean) == (513, 0.02)
    assert found.as_dict() == row
    del row["side"]["bleu"]
    (tmp_path / "evaluate.json").write_text(json.dumps([row]))
    with pytest.raises(ArtifactError, match=r"damaged.*bleu"):
        open_contest(tmp_path)
    row["side"]["bleu"] = 29.5


def test_a_search_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no steering search"):
        open_search(tmp_path)
