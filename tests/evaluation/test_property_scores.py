"""What states, dictionary and concepts hold of planted properties, judged on new samples."""

from __future__ import annotations

import numpy as np
import pytest

from vitrail.evaluation import EvaluationData
from vitrail.evaluation.property_scores import Described, score_properties
from vitrail.evaluation.results import PropertyScores
from vitrail.words import Word

DOG = Word("dog")


def planted(n: int, seed: int, upside_down: bool = False) -> tuple[Described, dict]:
    """States hold black, runs and tall; activations hold black (concept 0), runs (half in concept 1, half in 2) and
    luck (3), not tall. New samples may have concept 0 upside down."""
    rng = np.random.default_rng(seed)
    black, runs, tall = rng.random((3, n)) < 0.4
    halves = rng.random(n) < 0.5
    Z = np.stack([black, runs, tall], axis=1) + 0.05 * rng.standard_normal((n, 3))
    shown = ~black if upside_down else black
    V = np.stack([shown, runs & halves, runs & ~halves, rng.random(n) < 0.5], axis=1) + 0.01 * rng.random((n, 4))
    ids = [f"{seed}-{i}" for i in range(n)]
    factors = {
        i: {"colour": "black" if b else "white", "action": "run" if r else "sit", "size": "tall" if t else "short"}
        for i, b, r, t in zip(ids, black, runs, tall, strict=True)
    }
    said = [
        {"a", "dog"} | {w for w, has in (("black", b), ("tall", t)) if has} for b, t in zip(black, tall, strict=True)
    ]
    return Described(ids, said, Z, V, DOG, "en"), factors


def scored(upside_down: bool = False, known: bool = True) -> PropertyScores:
    (learned, factors), (new, others) = planted(400, 0), planted(300, 1, upside_down)
    own = [[learned.ids[i] for i in np.argsort(-learned.V[:, k])[:5]] for k in range(4)]
    data = EvaluationData([], [], factors | others if known else None)
    found = score_properties(learned, new, own, data)
    assert found is not None
    return found


def test_what_the_states_hold_the_dictionary_may_lose_and_a_single_concept_loses_more():
    found = scored()
    told = {v.value: v.told for v in found.values}
    assert all(t.state.mean > 0.999 for t in told.values())
    assert told["black"].concept.mean == told["black"].dictionary.mean == 1
    assert told["run"].dictionary.mean == 1 > 0.8 > told["run"].concept.mean > 0.6  # two halves: 1 together
    assert told["tall"].dictionary.mean < 0.6 < told["tall"].state.mean
    assert found.lost.dictionary.low > 0.1
    assert found.lost.concept.low > 0
    assert found.mean.state.mean - found.mean.dictionary.mean == pytest.approx(found.lost.dictionary.mean)
    assert found.by_factor["action"].concept.mean == pytest.approx(
        np.mean([told[v].concept.mean for v in ("run", "sit")])
    )
    assert (found.n_learned, found.n_new, found.known) == (400, 300, True)


def test_concepts_are_judged_on_new_samples_and_not_on_those_that_chose_them():
    found = scored(upside_down=True)
    by_value = {v.value: v for v in found.values}
    assert (by_value["black"].concept, by_value["black"].told.concept.mean) == (0, 0)
    assert by_value["black"].told.state.mean > 0.999
    assert [(c.value, c.auroc, c.purity) for c in found.concepts[:1]] == [("black", 0, 1)]
    assert found.recovery is not None
    assert found.recovery.informativeness["colour"] < 0.05 < 0.95 < found.recovery.informativeness["action"]


def test_samples_dealt_other_properties_are_told_by_chance():
    found = scored()
    for level in vars(found.by_chance).values():
        assert level.low <= level.mean <= level.high
        assert 0.3 < level.mean < 0.7  # six values of three independent features: a deal tells all or nothing of each


def test_words_of_captions_play_the_part_of_factors_that_are_not_known():
    found = scored(known=False)
    assert not found.known
    assert found.recovery is None
    assert {(v.factor, v.value) for v in found.values} == {("caption word", "black"), ("caption word", "tall")}
    told = {v.value: v.told for v in found.values}
    assert told["black"].concept.mean == 1
    assert told["tall"].state.mean > 0.999 > 0.6 > told["tall"].dictionary.mean


def test_samples_that_were_learned_from_are_not_new():
    learned, factors = planted(50, 0)
    with pytest.raises(ValueError, match=r"50 samples, '0-0' among them, were learned from"):
        score_properties(learned, learned, [[]] * 4, EvaluationData([], [], factors))


def test_nothing_is_judged_where_too_few_samples_have_a_property():
    (learned, factors), (new, others) = planted(400, 0), planted(6, 1)
    found = score_properties(learned, new, [[]] * 4, EvaluationData([], [], factors | others))
    assert found is not None
    assert (found.n_new, found.values, found.concepts, found.by_factor) == (6, (), (), {})
    assert np.isnan([found.mean.state.mean, found.by_chance.state.mean, found.lost.concept.low]).all()
    without = Described(learned.ids, [set()] * 400, learned.Z, learned.V, DOG)
    assert score_properties(without, new, [[]] * 4, EvaluationData([], [])) is None
