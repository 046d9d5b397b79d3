"""Outcomes as JSON, there and back."""

from __future__ import annotations

import json

import pytest

from vitrail.errors import ArtifactError
from vitrail.trials import AnswerSideEffects, CaptionSideEffects, Outcome, open_contest, open_search

INTERVAL = {"mean": 0.5, "std": 0.3, "low": 0.25, "high": 0.75, "n": 20}
FIGURES = {"perplexity": 3.5, "words": 6.1, "repeats": 0.0, "distinct": 0.78, "cider": INTERVAL, "accuracy": None}
LOSS = {"plain": FIGURES, "steered": FIGURES, "changed": 0.6, "broken": ["6.1 words"], "what": "captions"}
CAPTIONS = {
    "effect": INTERVAL,
    "p": 0.129,
    "cost": 0.16,
    "loss": LOSS,
    "side": {"clip_score": None, "cider_rest": INTERVAL, "cider_rest_p": 0.0293, "bleu": 29.5, "meteor": 0.31},
}
ANSWERS = {
    "effect": {"mean": 1.0, "std": 0.0, "low": None, "high": None, "n": 1},
    "p": 0.5,
    "cost": 0.0,
    "loss": LOSS | {"what": "answers", "plain": FIGURES | {"perplexity": None, "cider": None}},
    "side": {
        "accuracy": {"all": INTERVAL},
        "accuracy_plain": {"all": 0.9},
        "lost": {"colour": 0.1},
        "own_types": ["yes/no"],
        "collateral": None,
        "answers_moved": [["yes", "no", 3]],
    },
}


@pytest.mark.parametrize(("values", "kind"), [(CAPTIONS, CaptionSideEffects), (ANSWERS, AnswerSideEffects)])
def test_an_outcome_is_read_as_it_was_written(values, kind):
    found = Outcome.from_dict(values)
    assert isinstance(found.side, kind)
    assert found.as_dict() == values


def test_a_table_is_read_as_it_was_written(tmp_path):
    speed = {"per_token": 0.001, "added": 0.0001, "share": {"median": 0.02, "low": -0.01, "high": 0.05, "n": 15}}
    row = {"name": "loreft (r)", "trained_parameters": 513, "seconds_to_train": 4.5, "speed": speed, **CAPTIONS}
    row |= {"steering": "0a", "alpha": 2.0}
    (tmp_path / "evaluate.json").write_text(json.dumps([row]))
    (found,) = open_contest(tmp_path)
    assert (found.parameters, found.speed.share.mean) == (513, 0.02)
    assert found.as_dict() == row
    older = json.loads(json.dumps(row))
    del older["side"]["meteor"], older["steering"], older["alpha"]  # which earlier versions did not measure
    (tmp_path / "evaluate.json").write_text(json.dumps([older]))
    assert open_contest(tmp_path)[0].outcome.side.meteor is None
    del row["side"]["bleu"]
    (tmp_path / "evaluate.json").write_text(json.dumps([row]))
    with pytest.raises(ArtifactError, match=r"damaged.*bleu"):
        open_contest(tmp_path)
    row["side"]["bleu"] = 29.5


def test_a_search_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="no steering search"):
        open_search(tmp_path)
