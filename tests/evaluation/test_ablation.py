"""Captions without a concept."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import torch

from vitrail.evaluation.ablation import (
    Captioned,
    Target,
    _captions,
    ablate,
    counterfactuals,
    targets_of,
    without_concept,
)
from vitrail.evaluation.results import AblationCounts, BestValue, Lost, PropertyScores, Told
from vitrail.scores import Estimate


def test_what_is_removed_is_the_concepts_share_and_the_control_has_its_norm(concepts, activations):
    h = activations.states(concepts.layer)[:5]
    v = concepts.learner.transform(h)
    k = 1 + int(np.abs(v[:, 1:]).sum(axis=0).argmax())
    without = without_concept(concepts, k)(torch.from_numpy(h)).numpy()
    np.testing.assert_allclose(h - without, np.outer(v[:, k], concepts.U[k]), atol=1e-4)
    noise = np.random.default_rng(0).normal(size=h.shape)
    control = without_concept(concepts, k, noise)(torch.from_numpy(h)).numpy()
    np.testing.assert_allclose(
        np.linalg.norm(h - control, axis=1), np.linalg.norm(h - without, axis=1), rtol=1e-3, atol=1e-4
    )
    assert not np.allclose(control, without, atol=1e-3)


@pytest.mark.usefixtures("trained")
def test_ablation_speaks_and_leaves_the_model_as_it_was(lmm, activations, concepts, dogs):
    some = dogs[:4]
    V = np.asarray(concepts.learner.transform(activations.states(concepts.layer)))[:4]
    before = lmm.caption([s.open() for s in some])
    target = Target(re.findall(r"\w+", before[0]), "kind", "dog", ("dog", "puppy", "hound"))
    targets = [target] * len(concepts)
    found = ablate(lmm, activations.options, concepts, targets, Captioned(some, V, before, 2))
    assert lmm.caption([s.open() for s in some]) == before
    assert {e.concept for e in found.concepts} <= set(range(len(concepts)))
    assert found.words.before.mean > 1
    assert 0 <= found.values.removed.mean <= 1
    assert 0 < found.words.p <= 1
    assert found.words.gain.n == len(found.concepts) > 0


def test_what_is_gained_is_what_a_random_vector_leaves_and_the_concept_does_not(
    lmm, activations, concepts, dogs, monkeypatch
):
    """Made up captions: without a concept its words are gone, without a random vector half of them stay."""
    lists = [["black", "small"], ["running", "red"], [], *[["snow"]] * (len(concepts) - 3)]
    V = np.full((4, len(concepts)), -1.0)
    V[:, :3] = [[0.5, 0, 1], [1, 0.1, 1], [0, 0.2, 1], [2, 0.3, 1]]
    said = ["one dog", "a black dog , black and small", "a dog in the snow", "a small black dog"]
    texts = iter([["a dog", "a dog"], ["a black dog", "a dog"], ["it", "it"], ["a red dog", "it"]])
    asked = []

    def say(_lmm, _layer, samples, _length, _change):
        asked.append([s.id for s in samples])
        return next(texts)

    monkeypatch.setattr(sys.modules["vitrail.evaluation.ablation"], "_captions", say)
    targets = [Target(words) for words in lists]
    targets[0] = Target(lists[0], "colour", "black", ("black",))
    found = ablate(lmm, activations.options, concepts, targets, Captioned(dogs[:4], V, said, 2))
    ids = [s.id for s in dogs[:4]]
    assert asked == [[ids[3], ids[1]]] * 2 + [[ids[3], ids[2]]] * 2  # the strongest that are active at all
    first, second = found.concepts
    assert first.words == AblationCounts(before=2, removed=0, random=0.5)
    assert first.values == AblationCounts(before=1, removed=0, random=0.5)
    assert second.words == AblationCounts(before=0, removed=0, random=0.5)
    assert second.values is None  # its target names no value
    assert found.words.gain.mean == 0.5
    assert found.values.gain.n == 1


def test_a_value_is_looked_for_where_the_lexicon_names_it():
    best = [
        BestValue(k, f, v, 1.0, 1.0, 0.5) for k, (f, v) in enumerate((("colour", "black"), ("count", 2), ("x", "y")))
    ]
    none = Estimate(0.5, 0.0, 0.5, 0.5, 1)
    told, lost = Told(none, none, none), Lost(none, none)
    truth = PropertyScores(True, 1, 1, told, {}, told, lost, (), tuple(best), None)
    lexicon = {"colour": {"black": ("black", "dark")}, "count": {"2": ("two",)}}
    lists = [["a"], ["b"], ["c"], ["d"]]
    expected = [Target(["a"], "colour", "black", ("black", "dark")), Target(["b"], "count", 2, ("two",))]
    assert targets_of(lists, truth, lexicon) == [*expected, Target(["c"]), Target(["d"])]
    assert targets_of(lists, None, lexicon) == targets_of(lists, truth, None) == [Target(words) for words in lists]


def test_only_the_states_that_generate_are_changed(lmm, dogs):
    """Every state that is handed over is one whose prediction is the token that is said next."""
    some, seen = dogs[:3], []

    def change(states: torch.Tensor) -> torch.Tensor:
        seen.append(states.clone())
        return states

    length = 12
    said = lmm.generate(lmm.prepare([s.open() for s in some], [lmm.prompt] * 3), length)
    assert _captions(lmm, 8, some, length, change) == [g.text for g in said]
    for i, states in enumerate(seen):
        next_tokens = lmm.logits(states, 8).argmax(dim=-1).tolist()
        going_on = [(token, g.ids[i]) for token, g in zip(next_tokens, said, strict=True) if i < len(g.ids)]
        assert all(token == expected for token, expected in going_on)
    assert max(len(g.ids) for g in said) <= len(seen) <= length


def test_a_counterfactual_is_the_caption_without_each_concept_alone(lmm, activations, concepts, dogs):
    """Against the ablation of one concept after the other, by the change that is tested above."""
    (caption,) = lmm.caption([dogs[0].open()])
    found = counterfactuals(lmm, activations.options, concepts, dogs[0], caption, [2, 0])
    for one, k in zip(found, [2, 0], strict=True):
        n = activations.options.max_new_tokens
        (alone,) = _captions(lmm, concepts.layer, [dogs[0]], n, without_concept(concepts, k))
        assert one.concept == k
        assert one.removed.caption == alone.strip()
        assert set(one.removed.gained) == set(alone.split()) - set(caption.split())
    assert counterfactuals(lmm, activations.options, concepts, dogs[0], caption, []) == []
